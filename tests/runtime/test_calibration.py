"""The calibration in a model file reaches every spread, and the chances that follow from it."""

import pytest

import pqa
from pqa.spec import Calibration


@pytest.fixture
def calibrated(make_model, tmp_path):
    return lambda **values: pqa.load(make_model(tmp_path / "model.onnx", calibration=Calibration(**values)))


def test_std_scale_multiplies_every_spread_and_no_score(calibrated, astronaut):
    (plain,), (wide,) = (calibrated(std_scale=scale).score([astronaut]) for scale in (1.0, 2.5))
    assert wide.score == plain.score
    assert wide.score_std == pytest.approx(2.5 * plain.score_std)
    for name, estimate in plain.attributes.items():
        assert wide.attributes[name].std == pytest.approx(2.5 * estimate.std)


def test_chances_follow_the_spread_over_the_slope(calibrated, portrait_set):
    shots = sorted(portrait_set.glob("*.jpg"))
    groups = [
        calibrated(**values).rank(shots).groups[0]
        for values in ({}, {"std_scale": 2.0}, {"std_scale": 2.0, "win_slope": 2.0}, {"within_slope": 4.0})
    ]
    plain, wide, again, sure = (group.win_probability[0][-1] for group in groups)
    assert 0.5 < wide < plain < sure
    assert again == pytest.approx(plain)
