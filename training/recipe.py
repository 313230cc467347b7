"""`Recipe`: everything that a training run is made of, in values that JSON can hold. Unknown keys raise."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from pqa.errors import ConfigurationError, unknown_key
from pqa.structured import structured

__all__ = [
    "Augment",
    "Average",
    "Batches",
    "Group",
    "Optimiser",
    "Recipe",
    "Schedule",
    "Term",
    "changed",
    "from_json",
    "to_json",
]


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the loss: `weight` times the row `loss` of `pqa.nn.losses.LOSSES` with its `options`."""

    loss: str
    weight: float = 1.0
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batches:
    """How pictures come together (`training.samplers`): shuffled, in `scenes` groups of one scene each, or in same-scene pairs.

    `size` counts the pictures of a step. Every picture leads `leads` pairs an epoch, the same ones in each if `fixed`.
    `balance` above 0 draws pictures of rare ratings more often (plain batches; 1: all ratings alike). `across_scenes` allows
    comparisons between scenes; refused for labels that compare within a scene only.
    """

    kind: Literal["plain", "groups", "pairs"] = "plain"
    size: int = 32
    scenes: int = 4
    leads: int = 1
    fixed: bool = False
    balance: float = 0.0
    across_scenes: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters whose names begin with `prefix`: their rate as a multiple of the optimiser's, or `frozen`."""

    prefix: str
    rate: float = 1.0
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class Optimiser:
    """`rate` is the highest learning rate, `decay` the weight decay (of Adam: L2). The longest prefix of `groups` counts."""

    kind: Literal["adam", "adamw", "sgd"] = "adamw"
    rate: float = 1e-4
    decay: float = 1e-5
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rate over a run: linear from 0 over `warmup` epochs, then by `kind`.

    cosine: to `floor` times the rate over `period` epochs (0: the run), then up again as torch's does; step: times `factor`
    every `every` epochs; plateau: times `factor` after `every` epochs without a better score; constant.
    """

    kind: Literal["constant", "cosine", "step", "plateau"] = "cosine"
    warmup: float = 0.0
    period: int = 0
    every: int = 10
    factor: float = 0.1
    floor: float = 0.0


@dataclass(frozen=True, slots=True)
class Average:
    """Averaged weights, which are what is judged and exported: `ema` with `decay` a step, `swa` over the epochs after the
    share `start` of the run."""

    kind: Literal["none", "ema", "swa"] = "none"
    decay: float = 0.99
    start: float = 0.75


@dataclass(frozen=True, slots=True)
class Augment:
    """What training does to a picture and a rating survives. `draw`: windows and patches at random places.

    `mirror`: left to right in half of the draws, all views together or each by itself. `zoom`: the smallest share of the
    picture's area that a random crop keeps (1: no crop). `turn`: largest rotation in degrees.
    """

    draw: bool = True
    mirror: Literal["none", "together", "apart"] = "together"
    zoom: float = 1.0
    turn: float = 0.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """`changes` to the size's configuration hold for training and for the exported model, `training` for training alone
    (one random crop where the test takes five, say).

    `scene_by`: what the model's scenes are, the data's scenes or their light conditions; content: the model's own words for
    what a picture shows. `scene_weight`: cross-entropy of the scene posterior, or with content, of whose words several may
    be true, its fidelity; `distortion_weight`: fidelity of the distortion posterior; `balance`: dynamic weighs the losses
    by how fast each falls (`training.balance`); `known_scene`: the losses see the score of the true scene instead of
    the posterior's. `branch_weight`: the same losses on each branch alone; `spread_weight`: Gaussian likelihood of the
    first attribute's error under `std`; `joint_weight`: the same losses on the joint score of a batch's scenes.
    `scenarios`: SAR's draws of global, local and joint training. `clip`: largest norm of the gradient (0: any).
    `patience`: epochs without a better challenge score before a run ends (0: never). `watch`: epochs between two looks at
    the choose part.
    """

    model: str
    terms: tuple[Term, ...]
    size: str = "full"
    pretrained: bool = True
    changes: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    attributes: tuple[str, ...] = ("overall",)
    batches: Batches = field(default_factory=Batches)
    augment: Augment = field(default_factory=Augment)
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    average: Average = field(default_factory=Average)
    epochs: int = 30
    accumulate: int = 1
    clip: float = 0.0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    scene_by: Literal["scene", "condition", "content"] = "scene"
    scene_weight: float = 0.0
    distortion_weight: float = 0.0
    balance: Literal["fixed", "dynamic"] = "fixed"
    known_scene: bool = False
    branch_weight: float = 0.0
    spread_weight: float = 0.0
    joint_weight: float = 0.0
    scenarios: bool = False
    patience: int = 0
    watch: int = 1
    seed: int = 0


def to_json(recipe: Recipe) -> str:
    """The resolved recipe, as it is saved beside its result."""
    return json.dumps(dataclasses.asdict(recipe), indent=2)


def from_json(text: str) -> Recipe:
    """Read a saved recipe. Raises ConfigurationError for unknown keys and values of another type."""
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"a recipe is JSON: {error}") from error
    return structured(Recipe, raw, "recipe")


def changed(recipe: Recipe, assignments: list[str]) -> Recipe:
    """The recipe with single keys replaced: `epochs=5`, `schedule.warmup=2`, `terms=[{"loss": "huber"}]` (values as JSON).

    Raises ConfigurationError for a key that is not there (the nearest is named) or a value of another type.
    """
    raw = json.loads(to_json(recipe))
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigurationError(f"expected KEY=VALUE, got {assignment!r}")
        place, *rest = (raw, *path.strip().split("."))
        *way, last = rest
        for key in way:
            place = _step(place, key, path)
        if not isinstance(place, dict):
            raise ConfigurationError(f"{path}: only objects have keys; give the whole list as JSON")
        open_ended = bool(way) and way[-1] in ("changes", "training")
        if last not in place and not open_ended:
            raise unknown_key(last, place, "recipe key")
        place[last] = _value(text)
    return structured(Recipe, raw, "recipe")


def _step(place: Any, key: str, path: str) -> Any:
    if not isinstance(place, dict):
        raise ConfigurationError(f"{path}: only objects have keys; give the whole list as JSON")
    if key not in place:
        raise unknown_key(key, place, "recipe key")
    return place[key]


def _value(text: str) -> Any:
    """JSON, or the text itself where it is none (`average.kind=ema`)."""
    try:
        return json.loads(text)
    except ValueError:
        return text
