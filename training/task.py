"""The training step of every recipe, and its look at the choose part by the project's own protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from pqa.data.rated import Rated
from pqa.errors import ConfigurationError
from pqa.evaluation.metrics import evaluate
from pqa.nn.losses import check_loss, enough, loss_of
from training.aspects import Aspects
from training.average import Averaged, weights_of
from training.balance import Balance
from training.recipe import Recipe
from training.samplers import scenario
from training.schedules import Plateau, factor, optimiser_of, set_rates

__all__ = ["Task", "challenge_figures"]

Batch = Mapping[str, Any]


class Task(lightning.LightningModule):
    """Trains `model` by `recipe`; `tested` is the same network as it will be exported (its test crops), run with the
    weights of `model`, or with their average where the recipe has one. `choose` are the rows of the choose part. The best
    weights by challenge score go to `best`. `train` are the rows that batches number: what they say beside ratings.
    """

    def __init__(
        self,
        model: nn.Module,
        tested: nn.Module,
        recipe: Recipe,
        choose: Sequence[Rated],
        best: Path,
        train: Sequence[Rated] = (),
    ) -> None:
        super().__init__()
        _check(model, recipe)
        self.model = model
        self.best_score, self.best_epoch = float("-inf"), -1
        self._idle = 0  # epochs since then
        self._tested = (tested.requires_grad_(False),)  # in a tuple: not a part of this module's state
        self._recipe, self._choose, self._best = recipe, choose, best
        self._seen: dict[int, npt.NDArray[np.float32]] = {}
        self.aspects, self._balance = Aspects(model, recipe, train), Balance()
        self._average, self._plateau = Averaged(recipe.average, recipe.epochs), Plateau(recipe.schedule)

    def on_train_start(self) -> None:
        self._stop_if_idle()  # a run that had ended early and is continued has nothing left to do

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        trainer, recipe = self.trainer, self._recipe
        steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        share = factor(recipe.schedule, trainer.global_step, steps, recipe.epochs) * self._plateau.share
        set_rates(trainer.optimizers[0], share)
        self.log("rate", recipe.optimiser.rate * share, on_step=False, on_epoch=True)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        # Dropout then depends on the step alone: a run that continues draws what the whole one drew.
        torch.manual_seed(_seed(self._recipe.seed, self.current_epoch, index, self.global_rank))
        outputs = self._gathered(self._forward(batch, index))
        losses = self._losses(outputs, self._gathered({key: batch[key] for key in ("label", "group", "scene", "row")}))
        # A batch may have nothing to compare (ties, pictures without a label); every replica must still take its step.
        weights: dict[str, float] = {}
        if self._recipe.balance == "dynamic":
            weights = self._balance.weights(self.current_epoch)
            self._balance.add(self.current_epoch, losses)
        weighted = [weights.get(name, 1.0) * loss for name, loss in losses.items()]
        total = torch.stack([0.0 * outputs["score"].sum(), *weighted]).sum()
        self.log_dict({f"train/{key}": value.detach() for key, value in losses.items()}, on_step=False, on_epoch=True)
        self.log("loss", total.detach(), prog_bar=True, logger=False)
        return total

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        last = batch_idx + 1 == self.trainer.num_training_batches
        self._average.after_step(self.model, epoch, last=last)

    def _forward(self, batch: Batch, index: int) -> dict[str, Tensor]:
        if self._recipe.scenarios:
            values = self.model(*batch["views"], scenario=scenario(self._recipe.seed, self.current_epoch, index))
        else:
            values = self.model(*batch["views"])
        return {name: value.float() for name, value in zip(self.model.outputs, values, strict=True)}

    def _gathered(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """What all replicas hold, so that each sees the loss of the whole batch: its gradient is that of one process."""
        if self.trainer.world_size == 1:
            return values
        return {name: self.all_gather(value, sync_grads=True).flatten(0, 1) for name, value in values.items()}

    def _losses(self, outputs: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        recipe, label, group, scene = self._recipe, batch["label"], batch["group"], batch["scene"]
        score = outputs["score"]
        if recipe.known_scene:
            score = outputs["score_by_scene"][torch.arange(len(scene)), scene]
        losses = self._terms("", score, label, group, 1.0)
        known = scene >= 0
        if recipe.scene_weight and bool(known.any()):
            posterior = torch.log(outputs["scene_probabilities"][known] + 1e-6)
            losses["scene"] = recipe.scene_weight * F.nll_loss(posterior, scene[known])
        losses |= self.aspects(outputs, batch["row"])
        if recipe.branch_weight:
            branches = outputs["branches"]
            for number, name in enumerate(self.model.branch_names):
                losses |= self._terms(f"{name}/", branches[:, number : number + 1], label, group, recipe.branch_weight)
        if recipe.spread_weight:
            rated = ~torch.isnan(label[:, 0])
            std = outputs["std"][rated, 0]
            losses["spread"] = recipe.spread_weight * F.gaussian_nll_loss(
                score[rated, 0].detach(), label[rated, 0], std**2
            )
        if recipe.joint_weight:
            sets = [torch.nonzero(group == number)[:, 0] for number in torch.unique(group)]
            joint = torch.empty_like(score)
            for rows in sets:
                joint[rows] = self.model.joint(outputs["embedding"][rows], score[rows])
            losses |= self._terms("joint/", joint, label, group, recipe.joint_weight)
        return losses

    def _terms(self, prefix: str, score: Tensor, label: Tensor, group: Tensor, weight: float) -> dict[str, Tensor]:
        """Every term on every attribute of `score` (N, A), means over the attributes that have something to compare."""
        across = self._recipe.batches.across_scenes
        losses = {}
        for term in self._recipe.terms:
            values = [
                loss_of(term.loss, score[:, a], label[:, a], group, across_scenes=across, **term.options)
                for a in range(score.shape[1])
                if enough(term.loss, label[:, a], group, across_scenes=across)
            ]
            if values:
                losses[f"{prefix}{term.loss}"] = weight * term.weight * torch.stack(values).mean()
        return losses

    def on_validation_epoch_start(self) -> None:
        self._seen.clear()

    def validation_step(self, batch: Batch, index: int) -> None:
        tested = self._tested[0].to(self.device).eval()
        values = torch.func.functional_call(tested, self._judged(), tuple(batch["views"]))
        score = values[tested.outputs.index("score")].float().cpu().numpy()
        self._seen.update(zip(batch["row"].tolist(), score, strict=True))

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking or not self._seen:
            return
        seen = self._seen_by_all()
        rows = sorted(seen)
        score = np.stack([seen[row] for row in rows])
        if not np.isfinite(score).all():
            raise ConfigurationError(
                f"scores are no longer finite after epoch {self.current_epoch + 1}: lower optimiser.rate, or set clip"
            )
        figures = challenge_figures([self._choose[row] for row in rows], score)
        self.log_dict(figures, prog_bar=True)
        better = figures["score"] > self.best_score
        self._idle = 0 if better else self._idle + self._recipe.watch
        self._plateau.seen(self._recipe.watch, better=better)
        if better:
            self.best_score, self.best_epoch = figures["score"], self.current_epoch
            if self.trainer.is_global_zero:
                kept = self.model.state_dict().keys()
                save_file({key: value.contiguous() for key, value in self._judged().items() if key in kept}, self._best)
        self._stop_if_idle()

    def _judged(self) -> dict[str, Tensor]:
        return self._average.weights or weights_of(self.model)

    def _seen_by_all(self) -> dict[int, npt.NDArray[np.float32]]:
        """Scores by row, of all processes: each looks at its share of the choose part."""
        if self.trainer.world_size == 1:
            return self._seen
        shares: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(shares, self._seen)
        return {row: score for share in shares for row, score in share.items()}

    def _stop_if_idle(self) -> None:
        """End the run after `patience` epochs without a better score."""
        patience = self._recipe.patience
        if patience and self._idle >= patience:
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["best"] = (self.best_score, self.best_epoch, self._idle)
        checkpoint["plateau"] = (self._plateau.share, self._plateau.waited)
        checkpoint["balance"] = self._balance.state()
        checkpoint["average"] = self._average.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.best_score, self.best_epoch, self._idle = checkpoint["best"]
        self._plateau.share, self._plateau.waited = checkpoint["plateau"]
        self._balance.restore(checkpoint["balance"])
        self._average.restore(checkpoint["average"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimiser_of(self.model, self._recipe.optimiser)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def challenge_figures(rows: Sequence[Rated], score: npt.NDArray[np.floating]) -> dict[str, float]:
    """Medians over scenes of the first rated attribute: `score` (the challenge's), `srcc`, `plcc`, `krcc`."""
    label = np.array([row.labels[0] for row in rows])
    rated = np.flatnonzero(~np.isnan(label))
    found = evaluate(score[rated, 0], label[rated], [rows[index].scene for index in rated])
    return {name: float(getattr(found, name)) for name in ("score", "srcc", "plcc", "krcc")}


def _check(model: nn.Module, recipe: Recipe) -> None:
    """Raises ConfigurationError for a recipe that asks for an output or a training that the model does not have."""
    wanted = {
        "scene_weight": (recipe.scene_weight > 0, "scene_probabilities"),
        "distortion_weight": (recipe.distortion_weight > 0, "distortion_probabilities"),
        "known_scene": (recipe.known_scene, "score_by_scene"),
        "branch_weight": (recipe.branch_weight > 0, "branches"),
        "spread_weight": (recipe.spread_weight > 0, "std"),
        "joint_weight": (recipe.joint_weight > 0, "embedding"),
    }
    for key, (asked, output) in wanted.items():
        if asked and output not in model.outputs:
            outputs = ", ".join(model.outputs)
            raise ConfigurationError(
                f"{key} needs the output {output!r}, which {recipe.model} does not have ({outputs})"
            )
    for term in recipe.terms:
        check_loss(term.loss, **term.options)
