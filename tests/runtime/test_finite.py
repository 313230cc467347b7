"""A graph that gives what is no number fails, and no score comes of it."""

import numpy as np
import pytest

import pqa
from pqa.errors import ModelError


@pytest.mark.parametrize("name", ["score", "embedding"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_values_that_are_not_finite_are_a_model_error(tiny_model, monkeypatch, name, value):
    predictor = pqa.load(tiny_model).predictor
    outputs = {"score": np.zeros((2, 3), np.float32), "embedding": np.zeros((2, 4), np.float32)}
    outputs[name][1, 1] = value
    monkeypatch.setattr(predictor, "_run", lambda batch: outputs)
    shot = predictor.prepare(np.zeros((70, 70, 3), np.uint8))
    with pytest.raises(ModelError, match=f"'{name}' that is not finite"):
        predictor.infer([shot, shot])
