"""Outputs of every tiny model, kept in golden.json: to the bit on a platform it knows, within `golden.LOOSE` elsewhere."""

import os

import numpy as np
import pytest

from pqa import nn
from tests.nn import golden


@pytest.fixture(scope="module")
def made():
    return golden.made()


@pytest.fixture(scope="module")
def kept():
    return golden.kept()


def test_every_model_is_kept(made, kept):
    assert set(made["outputs"]) == set(nn.MODELS)
    for entry in kept:
        assert set(entry["outputs"]) == set(nn.MODELS)


@pytest.mark.parametrize("name", sorted(nn.MODELS))
def test_outputs_stay_as_they_are_kept(name, made, kept):
    same = golden.same_platform(kept, made["platform"])
    if same:
        assert made["outputs"][name] == same["outputs"][name]
    for entry in kept:
        assert golden.apart(entry, {"outputs": {name: made["outputs"][name]}}) == []


def test_a_difference_is_found_and_rounding_is_none(kept):
    entry = kept[0]
    for factor, found in ((1 + 1e-6, []), (1 + 1e-4, ["pqe.score"])):
        score = (np.asarray(entry["outputs"]["pqe"]["score"], float) * factor).tolist()
        assert golden.apart(entry, {"outputs": {"pqe": {"score": score}}}) == found
    assert golden.apart(entry, {"outputs": {"pqe": {"std": [[1.0]]}}}) == ["pqe.std"]


@pytest.mark.parametrize("name", sorted(nn.MODELS))
def test_kept_outputs_depend_on_the_picture(name, kept):
    """Outputs that every picture shares would guard little of the way to them."""
    for entry in kept:
        first, second = np.asarray(entry["outputs"][name]["score"], float)
        assert np.abs(first - second).max() > 100 * golden.LOOSE * np.abs(first).max()


def test_ci_compares_to_the_bit(made, kept):
    complaint = golden.complaint(kept, made["platform"], ci=os.environ.get("CI") == "true")
    assert not complaint, complaint


def test_a_ci_that_compares_nowhere_to_the_bit_is_told_the_command(made, kept):
    other = {**made["platform"], "torch": "9.0"}
    assert golden.COMMAND in golden.complaint(kept, other, ci=True)
    assert "'torch': '9.0'" in golden.complaint(kept, other, ci=True)
    assert golden.complaint(kept, other, ci=False) == ""
