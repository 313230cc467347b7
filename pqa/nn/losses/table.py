"""The table of losses, and the one way in: `loss_of` applies a row to a batch of several scenes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pqa.errors import ConfigurationError, unknown_key
from pqa.nn.losses.bradley_terry import bradley_terry, elo
from pqa.nn.losses.combination import combination
from pqa.nn.losses.fidelity import fidelity_all, fidelity_pairs
from pqa.nn.losses.krcc import krcc
from pqa.nn.losses.merged_ranking import merged_ranking
from pqa.nn.losses.plcc import mse_plcc, plcc
from pqa.nn.losses.ranker import ranker
from pqa.nn.losses.regression import huber, l1, mse
from pqa.nn.losses.relative_distance import relative_distance
from pqa.nn.losses.scale_shift_invariant import scale_shift_invariant
from pqa.nn.losses.srcc import srcc

__all__ = ["LOSSES", "LossRow", "check_loss", "enough", "loss_of"]

Scope = Literal["picture", "pairs", "scene", "batch"]


@dataclass(frozen=True)
class LossRow:
    """How a loss meets a batch.

    `scope`: `picture`, the function takes all pictures, whatever their scenes; `pairs`, all pictures as consecutive pairs of
    one scene; `scene`, one scene at a time, and the mean over scenes is taken; `batch`, all pictures with their scenes.
    `least`: pictures that a scene must have to count. `ordered`: scenes of equal labels, which order nothing, do not count.
    """

    function: Callable[..., Tensor]
    scope: Scope
    least: int = 1
    ordered: bool = False


LOSSES: dict[str, LossRow] = {
    "bradley_terry": LossRow(bradley_terry, "scene", 2, ordered=True),
    "combination": LossRow(combination, "scene", 8, ordered=True),
    "elo": LossRow(elo, "scene", 2),
    "fidelity_all": LossRow(fidelity_all, "scene", 2),
    "fidelity_pairs": LossRow(fidelity_pairs, "pairs"),
    "huber": LossRow(huber, "picture"),
    "krcc": LossRow(krcc, "scene", 2, ordered=True),
    "l1": LossRow(l1, "picture"),
    "merged_ranking": LossRow(merged_ranking, "pairs"),
    "mse": LossRow(mse, "picture"),
    "mse_plcc": LossRow(mse_plcc, "scene", 2),
    "plcc": LossRow(plcc, "scene", 2, ordered=True),
    "ranker": LossRow(ranker, "scene", 16, ordered=True),
    "relative_distance": LossRow(relative_distance, "scene", 2),
    "scale_shift_invariant": LossRow(scale_shift_invariant, "batch", 3, ordered=True),
    "srcc": LossRow(srcc, "scene", 2, ordered=True),
}


def check_loss(name: str, **options: float | str) -> None:
    """Raise ConfigurationError for a name that is not in LOSSES, and for options that the loss does not take.

    The loss is tried on 32 numbers, so that a value out of range is told here, before the first step of a training (and
    `ranker` trains its network here).
    """
    row = _row(name, options)
    ramp = torch.linspace(-1.0, 1.0, 32)
    _apply(row, ramp, ramp.flip(0), torch.zeros(32, dtype=torch.int64), [torch.ones(32, dtype=torch.bool)], options)


def _row(name: str, options: dict[str, float | str]) -> LossRow:
    if name not in LOSSES:
        raise unknown_key(name, LOSSES, "loss")
    row = LOSSES[name]
    parameters = inspect.signature(row.function).parameters.values()
    known = {one.name: one.default for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}
    for key, value in options.items():
        if key not in known:
            raise unknown_key(key, known, f"option of the loss {name}")
        kind = (int, float) if isinstance(known[key], float) else type(known[key])
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ConfigurationError(f"option {key} of the loss {name} is a value like {known[key]!r}, got {value!r}")
    return row


def _parts(row: LossRow, label: Tensor, scene: Tensor) -> list[Tensor]:
    """(n,) bool masks of what counts: the scenes that have enough rated pictures; pairs and pictures are one part."""
    rated = ~torch.isnan(label)
    if row.scope == "picture":
        parts = [rated]
    elif row.scope == "pairs":
        parts = [rated.reshape(-1, 2).all(dim=1).repeat_interleave(2)]
    else:
        parts = [rated & (scene == number) for number in torch.unique(scene[rated])]
    return [
        part
        for part in parts
        if int(part.sum()) >= row.least and not (row.ordered and bool((label[part] == label[part][0]).all()))
    ]


def _checked(
    row: LossRow, name: str, label: Tensor, scene: Tensor, *, across_scenes: bool
) -> tuple[list[Tensor], Tensor]:
    """The parts that count, and the scenes (one for all where scenes may be compared)."""
    if label.ndim != 1 or scene.shape != label.shape:
        raise ValueError(f"expected one scene a label, got {tuple(label.shape)} labels and {tuple(scene.shape)} scenes")
    if across_scenes:
        scene = torch.zeros_like(scene)
    if row.scope == "pairs":
        if len(label) % 2:
            raise ValueError(f"the loss {name} takes consecutive pairs: expected an even number, got {len(label)}")
        if bool((scene[::2] != scene[1::2]).any()):
            raise ConfigurationError(
                f"the loss {name} got a pair of two scenes, whose labels do not compare: draw pairs within scenes "
                "(ScenePairs), or set across_scenes where all labels are on one scale"
            )
    return _parts(row, label, scene), scene


def _apply(
    row: LossRow,
    prediction: Tensor,
    label: Tensor,
    scene: Tensor,
    parts: list[Tensor],
    options: dict[str, float | str],
) -> Tensor:
    if row.scope == "batch":
        kept = torch.stack(parts).any(dim=0)
        return row.function(prediction[kept], label[kept], scene[kept], **options)
    return torch.stack([row.function(prediction[part], label[part], **options) for part in parts]).mean()


def enough(name: str, label: Float[Tensor, n], scene: Int[Tensor, n], *, across_scenes: bool = False) -> bool:
    """Whether `loss_of` finds something to learn from in these labels; where not, it raises."""
    row = _row(name, {})
    return bool(_checked(row, name, label, scene, across_scenes=across_scenes)[0])


def loss_of(
    name: str,
    prediction: Float[Tensor, n],
    label: Float[Tensor, n],
    scene: Int[Tensor, n],
    *,
    across_scenes: bool = False,
    **options: float | str,
) -> Float[Tensor, ""]:
    """The loss `name` of a batch, by the scope of its row in LOSSES.

    Pictures whose label is NaN take no part, nor does the partner of such a one in a pair; scenes without enough pictures are
    left out, and where none is left ConfigurationError is raised (`enough` asks beforehand). `across_scenes` compares all
    pictures as one scene: for labels on one scale. Without it a pair of two scenes raises ConfigurationError. `options` are
    keyword arguments of the loss; an unknown one raises ConfigurationError. Computed in float32 at least, outside autocast.
    """
    row = _row(name, options)
    if prediction.shape != label.shape:
        raise ValueError(f"expected one prediction a label, got {tuple(prediction.shape)} and {tuple(label.shape)}")
    parts, scene = _checked(row, name, label, scene, across_scenes=across_scenes)
    if not parts:
        rated = int((~torch.isnan(label)).sum())
        rule = f"{row.least} rated pictures" + (" of unequal labels" if row.ordered else "")
        raise ConfigurationError(
            f"the loss {name} needs a scene with at least {rule} in the batch; this one has {rated} rated of {len(label)} "
            f"pictures in {len(torch.unique(scene))} scenes: draw batches with more pictures of a scene (SceneGroups)"
        )
    if prediction.dtype in (torch.float16, torch.bfloat16):
        prediction = prediction.float()
    with torch.autocast(prediction.device.type, enabled=False):
        return _apply(row, prediction, label.to(prediction), scene, parts, options)
