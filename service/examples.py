"""Answers as the OpenAPI document shows them: made of the types they are examples of, so that they always fit."""

from __future__ import annotations

from typing import Any

from pqa.pixels.measures import REASONS
from pqa.types import Best, Estimate, Face, Group, ModelInfo, RankedScore, Ranking, Reason, Scale, Score, Unscored

__all__ = ["RANKING", "SCORES"]

_MODEL = ModelInfo(
    "scene_gate", "1", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", True, Scale(0.0, 1.0)
)
_FACE = Face(
    (412.0, 220.0, 1088.0, 1104.0),
    ((590.0, 560.0), (905.0, 556.0), (748.0, 742.0), (618.0, 890.0), (880.0, 886.0)),
    0.999,
    0.7,
    True,
)
_REASON = Reason("face_blur", 0.021, 0.016, next(row.unit for row in REASONS if row.code == "face_blur"))
_BROKEN = Unscored("broken.jpg", "default", "unreadable", "decoding JPEG failed: the file ends in the middle")


def _fields(id: str, score: float, reasons: tuple[Reason, ...]) -> dict[str, Any]:
    return {
        "id": id,
        "scene": "default",
        "score": score,
        "score_std": 0.06,
        "joint_score": None,
        "attributes": {"overall": Estimate(score, 0.06), "detail": Estimate(score - 0.02, 0.07)},
        "branches": {"global": score, "face": score + 0.01},
        "gate": 0.42,
        "scene_probabilities": {},
        "width": 1500,
        "height": 2000,
        "faces": (_FACE,),
        "reasons": reasons,
        "flags": (),
    }


_SHARP, _SOFT = _fields("a.jpg", 0.71, ()), _fields("b.jpg", 0.52, (_REASON,))

RANKING = Ranking(
    model=_MODEL,
    attribute="overall",
    scene_mode="group",
    groups=(
        Group(
            "default",
            Best("a.jpg", 0.98),
            ("a.jpg", "b.jpg"),
            (RankedScore(**_SHARP, rank=1, tie_group=1), RankedScore(**_SOFT, rank=2, tie_group=2)),
            ((0.5, 0.98), (0.02, 0.5)),
        ),
    ),
    unscored=(_BROKEN,),
).to_dict()

SCORES: dict[str, Any] = {
    **{key: RANKING[key] for key in ("model", "attribute", "warnings", "schema_version")},
    "scene_mode": "image",
    "scores": [Score(**fields).to_dict() for fields in (_SHARP, _SOFT)],
    "unscored": [_BROKEN.to_dict()],
}
