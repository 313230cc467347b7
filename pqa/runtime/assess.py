"""The Python face of pqa: `pqa.load(...)` gives an `Assessor` that scores and ranks portraits."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from pqa import ranking
from pqa.errors import ConfigurationError, DataError, ImageTooLarge, InputError, ModelError, unknown_key
from pqa.pixels.source import DEFAULT_LIMITS, Limits
from pqa.runtime.joint import MAX_SET
from pqa.runtime.predictor import Prediction, Predictor
from pqa.runtime.store import ModelStore
from pqa.session import available_cpus
from pqa.types import Group, Image, ImageSource, Ranking, SceneMode, Score, Unscored, Warn

__all__ = [
    "SCENE_MODES",
    "Assessor",
    "Outcome",
    "answer",
    "check_request",
    "load",
    "named",
    "pictures",
    "score_rows",
    "unique",
]

log = logging.getLogger(__name__)

Outcome = Prediction | Unscored
SCENE_MODES: tuple[SceneMode, ...] = ("image", "group", "known")


def named(inputs: Iterable[ImageSource | Image], scene: str) -> list[Image]:
    """Give every input an id: its path as it came, or `image-1`, `image-2`, ...; repeats get `#2`, `#3`, ..."""
    images: list[Image] = []
    seen: set[str] = set()
    for position, item in enumerate(inputs, 1):
        if not isinstance(item, Image):
            name = str(item) if isinstance(item, str | Path) else f"image-{position}"
            item = Image(name, item, scene)
        images.append(Image(unique(item.id, seen), item.source, item.scene, item.device))
    return images


def unique(name: str, seen: set[str]) -> str:
    """`name`, or the first of `name#2`, `name#3`, ... that is not in `seen`, which it then is."""
    id, number = name, 1
    while id in seen:
        number += 1
        id = f"{name}#{number}"
    seen.add(id)
    return id


def pictures(inputs: Iterable[ImageSource | Image], scene: str) -> list[Image]:
    """The inputs, `named`.

    Raises ConfigurationError for one picture in place of a list, DataError where there is nothing to look at: an empty list,
    or paths not one of which leads to a file.
    """
    if isinstance(inputs, bytes | str | np.ndarray) or not isinstance(inputs, Iterable):
        raise ConfigurationError(f"expected a list of pictures, got one {type(inputs).__name__}; put it in a list")
    images = named(inputs, scene)
    if not images:
        raise DataError("expected at least one picture, got an empty list")
    paths = [image.source for image in images if isinstance(image.source, str | Path)]
    if len(paths) == len(images) and all(map(_no_file, paths)):
        names = ", ".join(map(str, paths[:3])) + ", ..." * (len(paths) > 3)
        raise DataError(f"expected files, got none at {names}; a folder's pictures are named one by one")
    return images


def _no_file(path: str | Path) -> bool:
    return os.path.isdir(path) or not os.path.exists(path)


def check_request(predictor: Predictor, images: Sequence[Image], attribute: str, scene_mode: str) -> None:
    """Raise ConfigurationError for what can be known to be wrong before any picture is decoded."""
    if attribute not in predictor.spec.attributes:
        raise unknown_key(attribute, predictor.spec.attributes, f"attribute of model {predictor.spec.name}")
    if scene_mode not in SCENE_MODES:
        raise unknown_key(scene_mode, SCENE_MODES, "scene_mode")
    if scene_mode == "known":
        for scene in {image.scene for image in images}:
            predictor.scene_vector(scene)


def score_rows(
    predictor: Predictor, items: Sequence[tuple[Image, Outcome]], *, attribute: str, scene_mode: SceneMode
) -> list[Score | Unscored]:
    """One row a picture, in order. Pictures of one scene share a scene vector in the modes `group` and `known`."""
    posteriors: dict[str, list[np.ndarray]] = {}
    for image, outcome in items:
        if isinstance(outcome, Prediction) and outcome.scene_probabilities is not None:
            posteriors.setdefault(image.scene, []).append(outcome.scene_probabilities)
    vectors = {}
    for scene, rows in posteriors.items():
        if scene_mode == "known":
            vectors[scene] = predictor.scene_vector(scene)
        elif scene_mode == "group":
            # Sorted, so that the last bit of the sum does not depend on the order of the pictures.
            vectors[scene] = np.sort(np.stack(rows), axis=0).mean(axis=0, dtype=np.float64).astype(np.float32)
    return [
        outcome
        if isinstance(outcome, Unscored)
        else predictor.compose(image, outcome, attribute=attribute, scene_vector=vectors.get(image.scene))
        for image, outcome in items
    ]


def _whole_scenes(
    images: Sequence[Image], items: Iterable[tuple[Image, Outcome]]
) -> Iterator[list[tuple[Image, Outcome]]]:
    """The `items` of `images`, in order, held back until every scene that they belong to is complete."""
    left = Counter(image.scene for image in images)
    held: list[tuple[Image, Outcome]] = []
    begun: set[str] = set()
    for image, outcome in items:
        held.append((image, outcome))
        begun.add(image.scene)
        left[image.scene] -= 1
        if not left[image.scene]:
            begun.discard(image.scene)
        if not begun:
            yield held
            held = []


def answer(
    predictor: Predictor, items: Sequence[tuple[Image, Outcome]], *, attribute: str, scene_mode: SceneMode
) -> Ranking:
    """The answer document over pictures that were scored or failed, grouped by scene in order of first appearance.

    Raises ModelError where the set head of the model fails.
    """
    rows = score_rows(predictor, items, attribute=attribute, scene_mode=scene_mode)
    scenes: dict[str, list[tuple[Score, Prediction]]] = {}
    for row, (_, outcome) in zip(rows, items, strict=True):
        if isinstance(row, Score) and isinstance(outcome, Prediction):
            scenes.setdefault(row.scene, []).append((row, outcome))
    groups: list[Group] = [
        ranking.rank(
            _scored_jointly(predictor, members, attribute),
            attribute=attribute,
            calibration=predictor.spec.calibration,
        )
        for members in scenes.values()
    ]
    warnings = []
    if not predictor.spec.trained:
        warnings.append(
            Warn(
                "untrained_model", f"model {predictor.spec.name} was exported without training: its scores mean nothing"
            )
        )
    return Ranking(
        model=predictor.model.info,
        attribute=attribute,
        scene_mode=scene_mode,
        groups=tuple(groups),
        unscored=tuple(row for row in rows if isinstance(row, Unscored)),
        warnings=tuple(warnings),
    )


def _scored_jointly(predictor: Predictor, members: Sequence[tuple[Score, Prediction]], attribute: str) -> list[Score]:
    """The rows of one set with their joint scores, where the model has a set head and the set 2 to MAX_SET pictures."""
    head, names = predictor.model.set_head, predictor.spec.attributes
    if head is None or not 2 <= len(members) <= MAX_SET:
        return [row for row, _ in members]
    # By content, so that the last bit of a sum over the set does not depend on the order of the pictures.
    members = sorted(members, key=lambda member: member[1].facts.sha256)
    embedding = np.array([prediction.embedding for _, prediction in members], np.float32)
    score = np.array([[row.attributes[name].score for name in names] for row, _ in members], np.float32)
    joint = head.scores(embedding, score)[:, names.index(attribute)]
    return [replace(row, joint_score=float(value)) for (row, _), value in zip(members, joint, strict=True)]


class Assessor:
    """A loaded model that scores and ranks. Safe to share between threads."""

    def __init__(self, predictor: Predictor, workers: int) -> None:
        self.predictor = predictor
        self._workers = workers

    def score(
        self,
        inputs: Iterable[ImageSource | Image],
        *,
        scene: str = "default",
        attribute: str = "overall",
        scene_mode: SceneMode = "image",
        on_done: Callable[[], None] | None = None,
    ) -> list[Score | Unscored]:
        """Score every picture by itself; one row a picture, in input order; a bad picture becomes an `Unscored` row.

        `inputs` are paths, bytes of files, arrays (H, W, 3) uint8 RGB, Pillow's pictures, or `pqa.types.Image`. `on_done` is
        called after each picture, from worker threads. Raises ConfigurationError for an attribute or scene unknown to the
        model, DataError where no picture is named, or where no path leads to a file.
        """
        return list(self.stream(inputs, scene=scene, attribute=attribute, scene_mode=scene_mode, on_done=on_done))

    def stream(
        self,
        inputs: Iterable[ImageSource | Image],
        *,
        scene: str = "default",
        attribute: str = "overall",
        scene_mode: SceneMode = "image",
        on_done: Callable[[], None] | None = None,
    ) -> Iterator[Score | Unscored]:
        """The rows of `score`, in input order, each as soon as it is made; no row is kept here.

        With `scene_mode` group a row rests on its whole scene: rows come when the scenes that are begun are complete.
        """
        images = self._checked(inputs, scene, attribute, scene_mode)
        items = self._outcomes(images, on_done)
        # A row of its own posterior, or of a named scene, waits for no other picture.
        ready = _whole_scenes(images, items) if scene_mode == "group" else ([item] for item in items)
        return (
            row
            for part in ready
            for row in score_rows(self.predictor, part, attribute=attribute, scene_mode=scene_mode)
        )

    def rank(
        self,
        inputs: Iterable[ImageSource | Image],
        *,
        scene: str = "default",
        attribute: str = "overall",
        scene_mode: SceneMode = "group",
        on_done: Callable[[], None] | None = None,
    ) -> Ranking:
        """Rank pictures, best first, one group a scene. `scene` is for inputs without one; the rest as in `score`."""
        images = self._checked(inputs, scene, attribute, scene_mode)
        items = list(self._outcomes(images, on_done))
        return answer(self.predictor, items, attribute=attribute, scene_mode=scene_mode)

    def _checked(
        self, inputs: Iterable[ImageSource | Image], scene: str, attribute: str, scene_mode: SceneMode
    ) -> list[Image]:
        images = pictures(inputs, scene)
        check_request(self.predictor, images, attribute, scene_mode)
        return images

    def _outcomes(self, images: Sequence[Image], on_done: Callable[[], None] | None) -> Iterator[tuple[Image, Outcome]]:
        def one(image: Image) -> Outcome:
            outcome = self.assess(image)
            if on_done is not None:
                on_done()
            return outcome

        with ThreadPoolExecutor(max_workers=self._workers) as pool:
            yield from zip(images, pool.map(one, images), strict=True)

    def assess(self, image: Image) -> Outcome:
        """Prepare and run one picture alone, so that its score never depends on others."""
        try:
            return self.predictor.infer([self.predictor.prepare(image.source)])[0]
        except (InputError, ModelError) as error:
            return Unscored(image.id, image.scene, error.status, str(error))
        except MemoryError:
            detail = "there is not enough memory for this picture; send a smaller one, or work on fewer at once"
            return Unscored(image.id, image.scene, ImageTooLarge.status, detail)
        except Exception as error:  # a bug met by one picture must not cost the others their result
            log.exception("scoring one picture failed")
            return Unscored(image.id, image.scene, "model_error", f"internal error: {type(error).__name__}")


def load(
    model: str | Path = "default",
    *,
    allow_untrained: bool = False,
    provider: str = "cpu",
    workers: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    models_dirs: Sequence[Path] | None = None,
    faces: int = 1,
    upright: bool = False,
) -> Assessor:
    """Load a model by its name in the store or by the path of its `.onnx` file.

    `workers` pictures are worked on at once (default: the processors this process may use). `faces` of a picture, largest
    first, get a `quality` of their own; more than one cost up to a picture's time each. `upright`: a picture whose main
    face lies on its side or upside down is scored as turned until it stands. Raises ModelNotFound,
    ModelError, UntrainedModel (unless `allow_untrained`), MissingExtra without ONNX Runtime.
    """
    opened = ModelStore(models_dirs, provider=provider).load(model, allow_untrained=allow_untrained)
    return Assessor(Predictor(opened, limits=limits, faces=faces, upright=upright), workers or available_cpus())
