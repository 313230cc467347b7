"""What every field of the service's answers is, in the words of the OpenAPI document, by schema and field.

A test holds this table to the schemas: a field without a line here, or a line without its field, fails it.
"""

from __future__ import annotations

__all__ = ["DESCRIPTIONS"]

_MODEL = "The model that gave the scores"
_ATTRIBUTE = "The rating that was asked for, such as overall, detail or exposure"
_SCENE_MODE = "Which scene posterior the scores were made with: image, group or known"
_UNSCORED = "Pictures without a score, each with its reason; they never cost the others their place"
_WARNINGS = "What the reader of the answer should know, such as that the model is untrained"
_VERSION = "Version of this document; fields are added within one, none is removed or changed"
_SCENE = "The scene it belongs to"

_SCORE = {
    "id": "The name that the picture came with; repeats get #2, #3, ...",
    "scene": _SCENE,
    "score": "Predicted mean rating of the attribute asked for; higher is better. Compare within one model and scene only",
    "score_std": "Standard deviation of its error, calibrated; null where the model gives none",
    "joint_score": "What the picture is worth beside the others of its scene, on the same scale; null where the model has "
    "no set head. It changes neither score nor order",
    "attributes": "Score and spread of every attribute that the model knows, by name",
    "branches": "What each branch of the model says alone, by name",
    "gate": "Weight of the face branch, 0 to 1; null where the model has no gate",
    "scene_probabilities": "The scene posterior that was used, by trained scene; empty where the model has none",
    "width": "Pixels of the picture as displayed, left to right",
    "height": "Pixels of the picture as displayed, top to bottom",
    "faces": "The faces that were found, the one that the score is about first",
    "reasons": "Measured faults that explain a low place; the score is not made of them",
    "flags": "Codes of what is special about the picture, such as no_face or first_frame",
    "status": "ok",
    "measurements": "What was measured on picture and face, by name; null where it could not be",
    "device": "The camera, where the request named one",
}

DESCRIPTIONS: dict[str, dict[str, str]] = {
    "Ranking": {
        "model": _MODEL,
        "attribute": _ATTRIBUTE,
        "scene_mode": _SCENE_MODE,
        "groups": "One ranking a scene, in order of first appearance",
        "unscored": _UNSCORED,
        "warnings": _WARNINGS,
        "schema_version": _VERSION,
    },
    "Scores": {
        "model": _MODEL,
        "attribute": _ATTRIBUTE,
        "scene_mode": _SCENE_MODE,
        "scores": "One row a picture, in the order in which they came",
        "unscored": _UNSCORED,
        "warnings": _WARNINGS,
        "schema_version": _VERSION,
    },
    "Group": {
        "scene": "Name of the scene",
        "best": "The first of the order and the chance that it truly is the best; null in an empty group",
        "order": "Ids of the pictures, best first",
        "ranking": "The pictures in that order",
        "win_probability": "Row i, column j: the chance that the mean rating of picture i of the order exceeds that of "
        "picture j; null above 200 pictures",
    },
    "Best": {"id": "Id of the first picture", "p_best": "The chance that its mean rating is the highest of the group"},
    "Score": _SCORE,
    "RankedScore": _SCORE
    | {
        "rank": "Place in the scene, from 1",
        "tie_group": "Pictures of one tie group cannot be told apart; numbered from 1, best first",
        "relative_quality": "(score - median) / mean absolute deviation over the scene; null below three pictures or "
        "where all scores are equal",
    },
    "Estimate": {
        "score": "Predicted mean rating",
        "std": "Standard deviation of its error; null where the model gives none",
    },
    "Face": {
        "box": "x1, y1, x2, y2 in displayed pixels; may reach out of the picture where the face is cut off",
        "landmarks": "x, y of left eye, right eye, nose, left and right mouth corner as seen; empty where the detector "
        "gives none",
        "confidence": "Probability that this is a face, by the detector",
        "quality": "What the face branch of the model sees in it, on the scale of the score; null where it was not asked",
        "used": "Whether the score is about this face",
    },
    "Reason": {
        "code": "Which fault",
        "value": "What was measured",
        "threshold": "The limit that it crossed",
        "unit": "Unit of both",
    },
    "Unscored": {
        "id": "The name that the picture came with",
        "scene": _SCENE,
        "status": "Why it has no score",
        "detail": "The same in a sentence: what was expected, what came, what to do",
    },
    "ModelInfo": {
        "name": "Its name in requests",
        "version": "Its version",
        "sha256": "SHA-256 of the model file: scores of equal hashes compare",
        "trained": "Whether it was trained; scores of an untrained model mean nothing",
        "scale": "Range of its scores",
    },
    "Scale": {
        "min": "Lowest rating that the model learned from",
        "max": "Highest rating that the model learned from",
        "comparable_across_scenes": "Whether scores of different scenes may be compared",
    },
    "Warn": {"code": "Which warning", "message": "The same in a sentence"},
    "ModelList": {
        "models": "The loaded models, the default one first, then the other files of the store",
        "reload_error": "Why the last reload kept the models that were loaded before; null where it did not",
    },
    "ModelCard": {
        "name": "Its name in requests",
        "file": "Name of its file",
        "loaded": "Whether requests may name it",
        "default": "Whether it answers requests that name no model",
        "error": "Why the file cannot be used; null where it can",
        "version": "Its version",
        "sha256": "SHA-256 of the file",
        "bytes": "Size of the file",
        "architecture": "Its network",
        "description": "What it is, in its maker's words",
        "trained": "Whether it was trained",
        "provider": "ONNX Runtime's execution provider that runs it",
        "views": "What is cut from a picture for it",
        "attributes": "Ratings that it predicts",
        "scenes": "Scenes that it was trained on, which scene_mode known may name",
        "sets": "Whether rankings by it have joint scores",
        "scale": "Range of its scores",
        "calibration": "How its spread becomes an honest one",
        "licence": "Terms of its weights",
        "data": "What it was trained on",
    },
    "View": {
        "name": "Name of the input",
        "kind": "How it is cut",
        "size": "Height and width in pixels, or the length of a vector",
        "crops": "Windows a picture",
    },
    "Calibration": {
        "std_scale": "Factor on the spread that the graph gives",
        "win_slope": "Slope of win probabilities between pictures of different scenes",
        "source": "On which pairs it was fitted",
        "within_slope": "Slope between shots of one scene, where it was fitted apart",
    },
    "Health": {"status": "ok"},
    "Readiness": {
        "status": "ready",
        "workers": "Processes that share this port",
        "workers_ready": "How many of them can score pictures",
    },
}
