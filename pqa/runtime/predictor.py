"""From one picture to one prediction, in three steps that a service can put on different threads.

`prepare` (decode, faces, views, measurements) -> `infer` (the graph) -> `compose` (one row of the answer).
`prepare` and `infer` hold no state between calls and may run in many threads at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pqa.errors import ConfigurationError, ImageTimeout, ModelError
from pqa.faces.detectors import Detector, load_detector
from pqa.pixels import measures
from pqa.pixels.source import DEFAULT_LIMITS, Limits, Source, open_picture
from pqa.pixels.views import make_view, view_row
from pqa.runtime.store import Model
from pqa.types import Estimate, Face, Image, ImageSource, Reason, Score

__all__ = ["Facts", "Prediction", "Predictor", "Prepared"]

Array = npt.NDArray[np.float32]

SMALL_FACE = 64.0
"""Faces with a longer edge below this many pixels are flagged `small_face`: less than half of a face view's side."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a picture before any model ran."""

    sha256: str
    width: int
    height: int
    faces: tuple[Face, ...]
    reasons: tuple[Reason, ...]
    flags: tuple[str, ...]
    measurements: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepared:
    """One picture ready for the graph; `views` maps a view's name to its tensor without the batch axis.

    `others`: the same for further faces of the picture, in the order of `facts.faces`.
    """

    facts: Facts
    views: dict[str, Array]
    others: tuple[dict[str, Array], ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is kept of a picture after the graph ran: some kilobytes at most, no pixels.

    `score`, `std`: (A,) float32 by attribute, std calibrated; `scene_probabilities`: (S,); `score_by_scene`: (S, A);
    `embedding`: (E,), what the set head compares; None where the model gives none. `branches`: by branch name, for the
    first attribute.
    """

    facts: Facts
    score: Array
    std: Array | None
    scene_probabilities: Array | None
    score_by_scene: Array | None
    branches: dict[str, float]
    gate: float | None
    embedding: Array | None = None


class Predictor:
    """One model with its face detector.

    `faces`: so many faces of a picture, the main one first, get the `quality` that the model's face branch sees in them.
    A score is the main face's alone, to the last bit the same whatever `faces` is. `upright`: a picture whose main face
    lies is scored and measured as turned until that face stands; boxes, sizes and the reason `sideways` stay those of the
    picture as it is displayed.
    """

    def __init__(
        self,
        model: Model,
        *,
        limits: Limits = DEFAULT_LIMITS,
        detector: Detector | None = None,
        faces: int = 1,
        upright: bool = False,
    ) -> None:
        self.model = model
        self.spec = model.spec
        self.limits = limits
        self.detector = detector or load_detector(model.spec.detector)
        self._outputs = [node.name for node in model.session.get_outputs()]
        self._upright = upright
        self._faces = faces if "face" in model.spec.branches else 1

    def prepare(self, source: ImageSource) -> Prepared:
        """Decode, find faces, cut views, measure. Raises an InputError that says what is wrong with the picture."""
        picture = open_picture(source, self.limits)
        faces = self.detector.detect(picture)
        turn = (measures.turn_upright(faces[0]) or 0) if faces and self._upright else 0
        seen = picture.turned(turn) if turn else picture
        standing = tuple(face.turned(turn, picture.size) for face in faces)
        main = standing[0] if standing else None
        views = {view.name: make_view(seen, main, view) for view in self.spec.views}
        moving = [view for view in self.spec.views if not view_row(view).whole]
        others = tuple(
            views | {view.name: make_view(seen, face, view) for view in moving} for face in standing[1 : self._faces]
        )
        measured = measures.measure(seen, main)
        measured = replace(measured, turn=float(turn)) if turn else measured
        width, height = picture.size
        used = tuple(replace(face, used=index == 0) for index, face in enumerate(faces))
        return Prepared(
            Facts(
                picture.sha256,
                width,
                height,
                used,
                measures.reasons(measured),
                self._flags(faces, picture.flags),
                asdict(measured) | _came(picture),
            ),
            views,
            others,
        )

    def _flags(self, faces: Sequence[Face], of_file: tuple[str, ...]) -> tuple[str, ...]:
        flags = list(of_file)
        if not faces:
            flags.append("no_face")
        elif faces[0].side < SMALL_FACE:
            flags.append("small_face")
        if len(faces) > 1:
            flags.append("many_faces")
        if not self.spec.trained:
            flags.append("untrained_model")
        return tuple(flags)

    def infer(self, batch: Sequence[Prepared]) -> list[Prediction]:
        """Run the graph on prepared pictures.

        Raises ModelError when it fails or gives a score or an embedding that is not finite.
        """
        outputs = self._run([item.views for item in batch])
        for name in ("score", "embedding"):
            if name in outputs and not np.isfinite(outputs[name]).all():
                raise ModelError(f"model {self.spec.name} gave a value of {name!r} that is not finite")
        return [self._further(item, self._prediction(item, outputs, index)) for index, item in enumerate(batch)]

    def _run(self, batch: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        feed = {view.name: np.stack([views[view.name] for views in batch]) for view in self.spec.views}
        try:
            return dict(zip(self._outputs, self.model.session.run(self._outputs, feed), strict=True))
        except ImageTimeout:
            raise
        except Exception as error:  # ONNX Runtime raises classes of its own that share no public base
            raise ModelError(f"model {self.spec.name} failed on {len(batch)} pictures: {error}") from error

    def _further(self, item: Prepared, prediction: Prediction) -> Prediction:
        """The prediction with the quality of further faces, each run by itself, so that their number changes nothing."""
        faces = list(prediction.facts.faces)
        for number, views in enumerate(item.others, 1):
            quality = float(self._run([views])["branches"][0, self.spec.branches.index("face")])
            faces[number] = replace(faces[number], quality=quality)
        return replace(prediction, facts=replace(prediction.facts, faces=tuple(faces)))

    def _prediction(self, item: Prepared, outputs: dict[str, Array], index: int) -> Prediction:
        row = {name: values[index] for name, values in outputs.items()}
        branches: dict[str, float] = {}
        if "branches" in row:
            branches = {name: float(value) for name, value in zip(self.spec.branches, row["branches"], strict=True)}
        facts = item.facts
        if facts.faces and "face" in branches:
            main = replace(facts.faces[0], quality=branches["face"])
            facts = replace(facts, faces=(main, *facts.faces[1:]))
        limit = self.spec.unlike_above
        if limit is not None and "distance" in row and row["distance"] > limit:
            facts = replace(facts, flags=(*facts.flags, "unlike_training"))
        std = row.get("std")
        return Prediction(
            facts=facts,
            score=row["score"],
            std=None if std is None else std * np.float32(self.spec.calibration.std_scale),
            scene_probabilities=row.get("scene_probabilities"),
            score_by_scene=row.get("score_by_scene"),
            branches=branches,
            gate=float(row["gate"]) if "gate" in row else None,
            embedding=row.get("embedding"),
        )

    def scene_vector(self, scene: str) -> Array:
        """One-hot (S,) of a trained scene. Raises ConfigurationError for a scene the model was not trained on."""
        if scene not in self.spec.scenes:
            known = ", ".join(self.spec.scenes) or "none"
            raise ConfigurationError(
                f"scene_mode 'known' needs a scene the model was trained on, got {scene!r}; known: {known}"
            )
        vector = np.zeros(len(self.spec.scenes), np.float32)
        vector[self.spec.scenes.index(scene)] = 1.0
        return vector

    def compose(
        self, image: Image, prediction: Prediction, *, attribute: str, scene_vector: Array | None = None
    ) -> Score:
        """One row of the answer. `scene_vector` (S,) replaces the picture's own posterior where the model has scenes.

        Both are mixed here and in the same way, so that a set of one picture scores like the picture alone.
        """
        if attribute not in self.spec.attributes:
            raise ConfigurationError(
                f"model {self.spec.name} knows the attributes {', '.join(self.spec.attributes)}, got {attribute!r}"
            )
        values, probabilities = prediction.score, prediction.scene_probabilities
        if scene_vector is not None and prediction.score_by_scene is not None:
            probabilities = scene_vector
        if probabilities is not None and prediction.score_by_scene is not None:
            # Row by row: a scene of no weight, behind the others, then changes no bit of the sum.
            values = (probabilities[:, None] * prediction.score_by_scene).sum(axis=0)
        std = prediction.std
        attributes = {
            name: Estimate(float(values[i]), None if std is None else float(std[i]))
            for i, name in enumerate(self.spec.attributes)
        }
        scenes = {} if probabilities is None else dict(zip(self.spec.scenes, map(float, probabilities), strict=True))
        return Score(
            id=image.id,
            scene=image.scene,
            score=attributes[attribute].score,
            score_std=attributes[attribute].std,
            joint_score=None,
            attributes=attributes,
            branches=prediction.branches,
            gate=prediction.gate,
            scene_probabilities=scenes,
            width=prediction.facts.width,
            height=prediction.facts.height,
            faces=prediction.facts.faces,
            reasons=prediction.facts.reasons,
            flags=prediction.facts.flags,
            measurements=prediction.facts.measurements,
            device=image.device,
        )


def _came(picture: Source) -> dict[str, float | None]:
    """Of a file that was cut short the share of its rows that came, 0.5 to 1."""
    return {"rows_decoded": picture.rows_decoded} if "truncated" in picture.flags else {}
