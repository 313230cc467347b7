"""Small charts as inline SVG. Colours are classes of the page's style sheet (`c0` to `c5` for series), so that charts follow
its light and dark schemes. Coordinates are rounded to a tenth of a pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

__all__ = ["Axis", "Dot", "dots", "padded", "reliability", "scatter", "ticks"]

Array = npt.NDArray[np.float64]

SERIES = 6
TEXT = 11


@dataclass(frozen=True, slots=True)
class Axis:
    """Values [low, high] to pixels [start, stop]."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + share * (self.stop - self.start), 1)


@dataclass(frozen=True, slots=True)
class Dot:
    """A value with its interval, in the colour of a series."""

    value: float
    low: float
    high: float
    series: int


def padded(*values: npt.ArrayLike) -> tuple[float, float]:
    """The range of all values and a little more."""
    flat = np.concatenate([np.asarray(value, dtype=np.float64).ravel() for value in values])
    low, high = float(flat.min()), float(flat.max())
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers inside [low, high], at most `most`."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10 ** math.floor(math.log10(span / most))
    step = next(power * m for m in (1, 2, 5, 10, 20) if span / (power * m) <= most - 1)
    return [round(k * step, 12) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x1:g} {y1:g}L{x2:g} {y2:g}"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _frame(x: Axis, y: Axis, most: int) -> list[str]:
    """Grid lines and tick labels on both axes."""
    parts = []
    for value in ticks(x.low, x.high, most):
        parts += [_line(x(value), y.start, x(value), y.stop, "grid"), _text(x(value), y.start + TEXT + 2, f"{value:g}")]
    for value in ticks(y.low, y.high, most):
        parts += [
            _line(x.start, y(value), x.stop, y(value), "grid"),
            _text(x.start - 4, y(value) + 4, f"{value:g}", "end"),
        ]
    return parts


def scatter(
    x: Array,
    y: Array,
    *,
    title: str,
    series: int = 0,
    curves: Sequence[tuple[str, Array, Array]] = (),
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None,
    size: tuple[int, int] = (190, 150),
    whiskers: Array | None = None,
    names: Sequence[str] = (),
) -> str:
    """Points (N,) with curves (class, xs, ys), vertical `whiskers` of half-length (N,), and tooltips `names`."""
    width, height = size
    across, up = limits or (padded(x), padded(y))
    ax, ay = Axis(*across, 34, width - 6), Axis(*up, height - 20, 18)
    parts = [_text(width / 2, 12, title, kind="title"), *_frame(ax, ay, 4 if width < 260 else 6)]
    if whiskers is not None:
        for a, b, half in zip(x, y, np.nan_to_num(whiskers), strict=True):
            parts.append(
                _line(ax(a), ay(max(b - half, up[0])), ax(a), ay(min(b + half, up[1])), f"whisker c{series % SERIES}")
            )
    if names:
        parts += [
            f'<circle class="c{series % SERIES}" cx="{ax(a):g}" cy="{ay(b):g}" r="4"><title>{escape(name)}</title></circle>'
            for a, b, name in zip(x, y, names, strict=True)
        ]
    else:
        # One path of zero-length strokes with round ends: hundreds of points in few bytes.
        d = "".join(f"M{ax(a):g} {ay(b):g}h0" for a, b in zip(x, y, strict=True))
        parts.append(f'<path class="points c{series % SERIES}" d="{d}"/>')
    for kind, xs, ys in curves:
        inside = [(a, b) for a, b in zip(xs, ys, strict=True) if up[0] <= b <= up[1]]
        if len(inside) > 1:
            d = "M" + "L".join(f"{ax(a):g} {ay(b):g}" for a, b in inside)
            parts.append(f'<path class="curve {kind}" d="{d}"/>')
    return _svg(width, height, parts, title)


def dots(rows: Sequence[tuple[str, Sequence[Dot], float | None]], *, label: str, width: int = 760) -> str:
    """One row a name: dots with intervals, and a mark (the noise ceiling) where given."""
    values = [
        v for _, row, mark in rows for v in [*(e for d in row for e in (d.low, d.high, d.value)), mark] if v is not None
    ]
    pitch = 12
    tall = [max(18, pitch * len(row) + 6) for _, row, _ in rows]
    height = sum(tall) + 26
    x = Axis(*padded(values), 180, width - 14)
    parts = []
    for value in ticks(x.low, x.high, 7):
        parts += [_line(x(value), 0, x(value), height - 22, "grid"), _text(x(value), height - 8, f"{value:g}")]
    top = 0.0
    for (name, row, mark), room in zip(rows, tall, strict=True):
        middle = top + room / 2
        parts.append(_text(172, middle + 4, name if len(name) <= 26 else name[:25] + "…", "end"))
        if mark is not None:
            parts.append(_line(x(mark), top + 3, x(mark), top + room - 3, "mark"))
        for k, dot in enumerate(row):
            y = round(middle + (k - (len(row) - 1) / 2) * pitch, 1)
            kind = f"c{dot.series % SERIES}"
            parts.append(_line(x(dot.low), y, x(dot.high), y, f"whisker {kind}"))
            tip = f"{name}: {dot.value:.3f} [{dot.low:.3f}, {dot.high:.3f}]"
            parts.append(
                f'<circle class="{kind}" cx="{x(dot.value):g}" cy="{y:g}" r="4"><title>{escape(tip)}</title></circle>'
            )
        top += room
    return _svg(width, height, parts, label)


def reliability(
    lines: Sequence[tuple[int, Sequence[float], Sequence[float], Sequence[int]]], *, label: str, size: int = 340
) -> str:
    """Observed against predicted win rate on [0.5, 1]: (series, predicted, observed, counts); dots grow with the counts."""
    x, y = Axis(0.5, 1.0, 46, size - 10), Axis(0.4, 1.0, size - 40, 8)
    parts = [*_frame(x, y, 7), _line(x(0.5), y(0.5), x(1), y(1), "mark")]
    parts.append(_text((x.start + x.stop) / 2, size - 6, "predicted chance of the predicted winner"))
    for series, predicted, observed, counts in lines:
        known = [(p, o, n) for p, o, n in zip(predicted, observed, counts, strict=True) if n]
        most = max((n for _, _, n in known), default=1)
        kind = f"c{series % SERIES}"
        d = "M" + "L".join(f"{x(p):g} {y(max(o, 0.4)):g}" for p, o, _ in known)
        parts.append(f'<path class="curve {kind}" d="{d}"/>')
        for p, o, n in known:
            tip = f"said {p:.3f}, was {o:.3f}, {n} pairs"
            r = round(2.5 + 4 * math.sqrt(n / most), 1)
            parts.append(
                f'<circle class="{kind}" cx="{x(p):g}" cy="{y(max(o, 0.4)):g}" r="{r:g}"><title>{tip}</title></circle>'
            )
    return _svg(size, size, parts, label)
