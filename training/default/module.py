"""The training step of `scene_gate` on ratings and simulated faults."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.nn.losses import fidelity, plcc
from pqa.nn.models.scene_gate import LEAST

__all__ = ["Objective", "SceneGateTask"]

OVERALL, DETAIL = range(2)


@dataclass(frozen=True)
class Objective:
    """Weights and constants of the loss; scores are in units of the MOS, 0 to 1.

    `unit`: the score difference that counts as one in the fidelity loss. `portrait`: weight of a portrait against another
    picture.
    """

    unit: float = 0.1
    portrait: float = 1.5
    rating: float = 1.0
    correlation: float = 0.5
    ranking: float = 0.5
    faults: float = 1.2
    anchor: float = 0.2
    branch: float = 0.2
    scene: float = 0.1
    spread: float = 0.05


def _huber(got: Tensor, wanted: Tensor) -> Tensor:
    return F.smooth_l1_loss(got, wanted, beta=0.1, reduction="none")


class SceneGateTask(lightning.LightningModule):
    """Trains `model` and keeps an exponential moving average of it in `average`, which is what is evaluated and exported."""

    def __init__(
        self, model: nn.Module, objective: Objective, *, rate: float, decay: float, steps: int, momentum: float = 0.998
    ) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self.average = copy.deepcopy(model).requires_grad_(False)
        self._rate, self._decay, self._steps, self._momentum = rate, decay, steps, momentum

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        views = [view.flatten(0, 1) for view in batch["views"]]
        shape = batch["prior"].shape
        outputs = {
            name: value.float().unflatten(0, shape)
            for name, value in zip(self.model.outputs, self.model(*views), strict=True)
        }
        losses = self._losses(outputs, batch)
        total = torch.stack(list(losses.values())).sum()
        self.log_dict({name: value.detach() for name, value in losses.items()}, on_step=False, on_epoch=True)
        self.log("loss", total.detach(), prog_bar=True)
        return total

    def _losses(self, outputs: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`outputs` are those of the branches alone; what the fitted ones say comes in as `prior`."""
        goal = self.objective
        score, keep, prior, mos, scene = outputs["score"], batch["keep"], batch["prior"], batch["mos"], batch["scene"]
        weight = 1.0 + (goal.portrait - 1.0) * batch["portrait"]
        weight = weight / weight.mean()
        clean = score[:, 0]
        both = torch.lerp(score, prior[..., None].expand_as(score), 0.5)  # what will be served

        rating = (weight * _huber(clean[:, OVERALL], mos)).mean() / goal.unit
        # With the true scene known the score must fit as well as with the posterior: this is what teaches the rescaling.
        known = outputs["score_by_scene"][torch.arange(len(scene)), 0, scene, OVERALL]
        rescaled = _huber(known, mos).mean() / goal.unit
        i, j = torch.triu_indices(len(mos), len(mos), offset=1)
        apart = torch.special.erf((mos[i] - mos[j]) / goal.unit / 2.0) / 2.0 + 0.5
        ranking = fidelity((both[i, 0, OVERALL] - both[j, 0, OVERALL]) / goal.unit, apart)

        # A fault takes its share of what the picture itself was given, whatever that is.
        fall = (both[:, :1].detach() - LEAST).clamp(min=0.1) * (1.0 - keep[:, 1:])
        faults = (weight[:, None, None] * _huber(both[:, :1] - both[:, 1:], fall)).mean() / goal.unit
        # Nobody rated detail and exposure: the overall rating stands in as their level on untouched pictures.
        anchor = _huber(clean[:, DETAIL:], mos[:, None].expand(-1, 2)).mean() / goal.unit

        left = LEAST + (mos[:, None] - LEAST) * keep[..., OVERALL]
        # Where the prior does not see a fault the branches must fall for it as well.
        own = torch.cat([mos[:, None], 2.0 * left[:, 1:] - prior[:, 1:]], dim=1)
        branch = _huber(outputs["branches"][..., :2], own[..., None].expand(-1, -1, 2)).mean() / goal.unit
        condition = F.nll_loss(torch.log(outputs["scene_probabilities"][:, 0] + 1e-6), scene)
        spread = F.gaussian_nll_loss(both[:, 0].detach(), mos[:, None].expand(-1, 3), outputs["std"][:, 0] ** 2)
        return {
            "rating": goal.rating * (rating + rescaled) / 2.0,
            "correlation": goal.correlation * plcc(clean[:, OVERALL], mos),
            "ranking": goal.ranking * ranking,
            "faults": goal.faults * faults,
            "anchor": goal.anchor * anchor,
            "branch": goal.branch * branch,
            "scene": goal.scene * condition,
            "spread": goal.spread * spread,
        }

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        # A short memory at first, so that the average does not carry the untrained start along.
        momentum = min(self._momentum, (1.0 + self.global_step) / (10.0 + self.global_step))
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value, 1.0 - momentum)
                else:
                    mean.copy_(value)

    def configure_optimizers(self) -> dict[str, object]:
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        plain = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": self._decay}, {"params": plain, "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=self._rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=self._rate, total_steps=self._steps, pct_start=0.1
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
