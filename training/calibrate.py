"""Make spreads and win probabilities honest on pictures that the model was not trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr

from pqa.spec import Calibration

__all__ = ["calibrate"]

Vector = npt.NDArray[np.floating]


def calibrate(score: Vector, std: Vector, mos: Vector) -> Calibration:
    """Fit both constants on held-out pictures: (N,) predictions, predicted spreads and mean ratings.

    `std_scale` makes the standardised errors have unit mean square; `win_slope` maximises the likelihood of the order of the
    ratings over all pairs with different ratings.
    """
    std_scale = float(np.sqrt(np.mean(((mos - score) / std) ** 2)))
    i, j = np.triu_indices(len(score), k=1)
    sign = np.sign(mos[i] - mos[j])
    margin = sign * (score[i] - score[j]) / (std_scale * np.hypot(std[i], std[j]))
    margin = margin[sign != 0]
    fit = minimize_scalar(lambda slope: -float(log_ndtr(slope * margin).mean()), bounds=(0.05, 20.0), method="bounded")
    return Calibration(std_scale, float(fit.x), f"{len(score)} held-out portraits, {len(margin)} cross-picture pairs")
