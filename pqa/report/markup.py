"""Pieces of the page. Everything that comes from a file is escaped here, once, on its way in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from pqa.evaluation.bootstrap import Interval

__all__ = ["Raw", "cell", "chance", "details", "interval", "keys", "number", "section", "table"]


class Raw(str):
    """Text that is markup already."""

    __slots__ = ()


def cell(value: str) -> str:
    return value if isinstance(value, Raw) else escape(value)


def number(value: float | None, form: str = ".3f") -> str:
    """A number, or a dash where it is undefined. What rounds to zero has no sign."""
    return "–" if value is None or np.isnan(value) else format(round(value, int(form[-2])) + 0.0, form)


def chance(p: float) -> str:
    """A p-value; never zero."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def interval(found: Interval) -> Raw:
    return Raw(f"{found.value:.3f}<small>{found.low:.3f} to {found.high:.3f}</small>")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are escaped unless they are `Raw`."""
    head = "".join(f"<th>{cell(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def section(title: str, note: str, *parts: str) -> str:
    """`parts` are markup; title and note are text."""
    return f'<section><h2>{escape(title)}</h2><p class="soft">{escape(note)}</p>{"".join(parts)}</section>'


def details(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def keys(names: Sequence[str], *extra: tuple[str, str]) -> str:
    """The legend: a dot for each series, then (class, text) for lines."""
    series = [(f"c{k % 6}", name) for k, name in enumerate(names)]
    return (
        "<p>"
        + "".join(f'<span class="key"><i class="{kind}"></i>{escape(t)}</span>' for kind, t in [*series, *extra])
        + "</p>"
    )
