"""The training step of `scene_gate` on ratings and simulated faults."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.nn.losses import fidelity, plcc
from training.default.data import KINDS

__all__ = ["Objective", "SceneGateTask"]

OVERALL, DETAIL, EXPOSURE = range(3)


@dataclass(frozen=True)
class Objective:
    """Weights and constants of the loss; scores are in units of the MOS, 0 to 1.

    `fall`: how far a fault at full strength lowers a score. `unit`: the score difference that counts as one in the fidelity
    loss. `portrait`: weight of a portrait against another picture.
    """

    fall: float = 0.45
    unit: float = 0.1
    portrait: float = 2.0
    rating: float = 1.0
    correlation: float = 0.5
    ranking: float = 0.5
    faults: float = 1.0
    branch: float = 0.3
    scene: float = 0.1
    spread: float = 0.05


class SceneGateTask(lightning.LightningModule):
    """Trains `model` and keeps an exponential moving average of it in `average`, which is what is evaluated and exported."""

    def __init__(
        self, model: nn.Module, objective: Objective, *, rate: float, decay: float, steps: int, momentum: float = 0.998
    ) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self.average = copy.deepcopy(model).requires_grad_(False)
        self._rate, self._decay, self._steps, self._momentum = rate, decay, steps, momentum

    def training_step(self, batch: dict[str, object], index: int) -> Tensor:
        views = [torch.cat(pair) for pair in zip(batch["clean"], batch["faulted"], strict=True)]
        outputs = {name: value.float() for name, value in zip(self.model.outputs, self.model(*views), strict=True)}
        losses = self._losses(outputs, batch)
        total = torch.stack(list(losses.values())).sum()
        self.log_dict({name: value.detach() for name, value in losses.items()}, on_step=False, on_epoch=True)
        self.log("loss", total.detach(), prog_bar=True)
        return total

    def _losses(self, outputs: dict[str, Tensor], batch: dict[str, object]) -> dict[str, Tensor]:
        goal = self.objective
        score, std, probabilities = outputs["score"], outputs["std"], outputs["scene_probabilities"]
        by_scene, branches = outputs["score_by_scene"], outputs["branches"]
        count = len(score) // 2
        mos, strength, kind, scene = batch["mos"], batch["strength"], batch["kind"], batch["scene"]
        weight = 1.0 + (goal.portrait - 1.0) * batch["portrait"]
        weight = weight / weight.mean()
        clean, faulted = score[:count], score[count:]

        rating = (weight * F.smooth_l1_loss(clean[:, OVERALL], mos, beta=0.1, reduction="none")).mean() / goal.unit
        correlation = plcc(clean[:, OVERALL], mos)
        i, j = torch.triu_indices(count, count, offset=1)
        apart = torch.special.erf((mos[i] - mos[j]) / goal.unit / 2.0) / 2.0 + 0.5
        ranking = fidelity((clean[i, OVERALL] - clean[j, OVERALL]) / goal.unit, apart)

        # A fault of a kind lowers overall and its own attribute, and leaves the other attribute where it was.
        both = kind == KINDS.index("both")
        touched = (
            torch.stack(
                [
                    torch.ones_like(strength),
                    (kind == KINDS.index("detail")) | both,
                    (kind == KINDS.index("exposure")) | both,
                ],
                1,
            ).float()
            * (strength > 0)[:, None]
        )
        wanted = goal.fall * strength[:, None] * touched
        faults = F.smooth_l1_loss(clean - faulted, wanted, beta=0.1) / goal.unit
        # Nobody rated detail and exposure: the overall rating stands in as their level on untouched pictures.
        anchor = F.smooth_l1_loss(clean[:, DETAIL:], mos[:, None].expand(-1, 2), beta=0.1) / goal.unit

        target = torch.cat([mos, mos - goal.fall * strength])
        branch = F.smooth_l1_loss(branches, target[:, None].expand(-1, 2), beta=0.1) / goal.unit
        condition = F.nll_loss(torch.log(probabilities + 1e-6), torch.cat([scene, scene]))
        wide = torch.stack([mos, mos, mos], 1)
        spread = F.gaussian_nll_loss(clean.detach(), wide, std[:count] ** 2)
        # With the true scene known the score must fit as well as with the posterior: this is what teaches the rescaling.
        known = by_scene[:count][torch.arange(count), scene, OVERALL]
        rescaled = F.smooth_l1_loss(known, mos, beta=0.1) / goal.unit
        return {
            "rating": goal.rating * (rating + rescaled) / 2.0,
            "correlation": goal.correlation * correlation,
            "ranking": goal.ranking * ranking,
            "faults": goal.faults * (faults + 0.3 * anchor),
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
