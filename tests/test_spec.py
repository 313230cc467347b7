"""The model file's handshake: a spec survives its trip and says what is wrong with a bad one."""

import dataclasses
import json

import pytest

from pqa.errors import ConfigurationError
from pqa.spec import Calibration, CropRule, ModelSpec, Parity, ViewSpec

SPEC = ModelSpec(
    name="m",
    version="1",
    architecture="a",
    views=(
        ViewSpec("global", "global", (224, 224), crops=5),
        ViewSpec("face", "face", (96, 96), crop=CropRule(scale=1.3, min_side=96)),
        ViewSpec("pristine", "global", (224, 224), reference=True),
    ),
    attributes=("overall", "detail"),
    trained=True,
    scenes=("bright", "dark"),
    calibration=Calibration(1.2, 0.9, "here"),
    parity=Parity(1e-6, 0.1, 16),
    sets=True,
    provenance={"commit": "abc"},
)


def test_survives_the_trip_through_json():
    assert ModelSpec.from_json(SPEC.to_json()) == SPEC


def changed(**values):
    return json.dumps(json.loads(SPEC.to_json()) | values)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "not JSON"),
        ("[]", "expected an object, got list"),
        (changed(atributes=["x"]), "did you mean 'attributes'"),
        (changed(views=[]), "at least one view"),
        (changed(trained="yes"), "spec.trained: expected bool, got str"),
        (changed(range=[1.0]), "spec.range: expected 2 values, got 1"),
        (changed(range=[1.0, 0.0]), "low < high"),
        (changed(spec_version=99), "update pqa"),
        (changed(views=[{"name": "g", "kind": "global", "size": [8, "8"]}]), r"spec.views\[0\].size\[1\]"),
        (json.dumps({"name": "m"}), "missing"),
    ],
)
def test_says_what_is_wrong(text, says):
    with pytest.raises(ConfigurationError, match=says):
        ModelSpec.from_json(text)


def test_names_of_views_differ():
    with pytest.raises(ConfigurationError, match="must differ"):
        dataclasses.replace(SPEC, views=(SPEC.views[0], SPEC.views[0]))
