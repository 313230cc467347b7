"""The fitted mappings: known curves are found again, and the cubic never turns back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit, minimize

from pqa.evaluation import mappings


def test_logistic_is_found_again() -> None:
    x = np.linspace(0, 10, 80)
    y = 1 + (5 - 1) / (1 + np.exp(-(x - 4) / 1.3))
    found = mappings.fit("logistic4", x, y)
    assert found(x) == pytest.approx(y, abs=1e-6)
    top, bottom, middle, width = found.parameters
    assert (top, bottom) == pytest.approx((5, 1), abs=1e-5)
    assert found.centre + found.scale * middle == pytest.approx(4, abs=1e-5)
    assert found.scale * width == pytest.approx(1.3, abs=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_logistic_is_no_worse_than_curve_fit(sign: int) -> None:
    rng = np.random.default_rng(2)
    x = rng.uniform(20, 90, 120)
    y = sign * np.tanh((x - 50) / 15) + 0.3 * rng.normal(size=120)

    def curve(v: np.ndarray, b1: float, b2: float, b3: float, b4: float) -> np.ndarray:
        return b2 + (b1 - b2) / (1 + np.exp(-(v - b3) / abs(b4)))

    start = [y.max(), y.min(), x.mean(), 10.0] if sign > 0 else [y.min(), y.max(), x.mean(), 10.0]
    reference = curve(x, *curve_fit(curve, x, y, start)[0])
    found = mappings.fit("logistic4", x, y)
    assert np.sum((found(x) - y) ** 2) <= np.sum((reference - y) ** 2) * (1 + 1e-6)
    assert found.increasing == (sign > 0)


def test_logistic_reaches_a_step_and_the_deeper_valley() -> None:
    # Two levels with one picture between: only a curve far steeper than the spread of the scores tells them apart.
    x = np.concatenate([np.linspace(0, 1, 40), np.linspace(1.001, 2, 40)])
    y = np.where(x > 1, 3.0, 1.0)
    assert np.abs(mappings.fit("logistic4", x, y)(x) - y).max() < 0.02
    # A step far from the middle of skewed scores: from the middle the search ends in another valley, 18 % above.
    rng = np.random.default_rng(27)
    x = np.exp(2 * rng.normal(size=60))
    y = (np.log(x) > -1.5) + 0.4 * rng.normal(size=60)
    best = min(
        np.sum((y - np.where(x > edge, y[x > edge].mean(), y[x <= edge].mean())) ** 2) for edge in np.sort(x)[:-1]
    )
    assert np.sum((mappings.fit("logistic4", x, y)(x) - y) ** 2) <= best * 1.001


def test_free_cubic_is_least_squares() -> None:
    x = np.linspace(-3, 5, 40)
    y = 0.2 * x**3 + x + np.sin(5 * x)
    found = mappings.fit("cubic", x, y)
    assert not found.constrained
    assert found(x) == pytest.approx(np.polyval(np.polyfit(x, y, 3), x), abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_bent_cubic_is_held_monotonic_at_the_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-1, 1, 60))
    x[0], x[-1] = -1, 1
    y = rng.normal(size=4) @ np.vander(x, 4).T * np.array(2.0) - 4 * x**3 + 2 * x + rng.normal(size=60)
    found = mappings.fit("cubic", x, y)
    grid = np.linspace(-1, 1, 2001)
    slope = np.diff(found(grid))
    assert np.all(slope >= -1e-9) or np.all(slope <= 1e-9)
    if not found.constrained:
        pytest.fail("this case was made to bend")
    design, fine = np.vander(x, 4, increasing=True), np.linspace(-1, 1, 101)
    costs = []
    for sign in (1, -1):
        limit = {"type": "ineq", "fun": lambda b, s=sign: s * (b[1] + 2 * b[2] * fine + 3 * b[3] * fine**2)}
        result = minimize(
            lambda b: np.sum((design @ b - y) ** 2),
            np.array([y.mean(), sign * 0.1, 0, 0]),
            constraints=[limit],
            method="SLSQP",
            options={"maxiter": 500, "ftol": 1e-12},
        )
        costs.append(result.fun)
    assert np.sum((found(x) - y) ** 2) == pytest.approx(min(costs), rel=1e-3)


@pytest.mark.parametrize(("x", "y"), [([1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6]), ([1, 2, 3, 4], [2, 1, 4, 3])])
def test_too_little_to_fit_stays_raw(x: list[float], y: list[float]) -> None:
    for name in ("cubic", "logistic4"):
        assert mappings.fit(name, x, y).name == "raw"
