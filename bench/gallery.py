"""A page to look at: best and worst portraits by score, the largest residuals, fault sets in the model's order.

It holds pictures of the data set, small, for the eyes of whoever has the set; `python -m bench.faults --gallery` writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from pqa.cli.contact_sheet import thumbnail
from pqa.data.rated import Rated
from pqa.report.markup import section
from pqa.types import Image, ImageSource

__all__ = ["EXTREMES", "RESIDUALS", "Shots", "page"]

EXTREMES = 12
"""Portraits shown of either end."""

RESIDUALS = 50

STYLE = """
.cards { display: flex; flex-wrap: wrap; gap: .6rem; margin: .6rem 0 }
.cards figure { margin: 0; width: 132px; font-size: 12px; line-height: 1.3 }
.cards img { width: 132px; height: 132px; object-fit: contain; display: block }
"""


@dataclass(frozen=True, slots=True)
class Shots:
    """One fault set: its shots from untouched to strongest, and their scores."""

    title: str
    pictures: Sequence[npt.NDArray[np.uint8]]
    scores: npt.ArrayLike


def page(title: str, rows: Sequence[Rated], scores: npt.ArrayLike, sets: Sequence[Shots]) -> str:
    """The page's HTML, in need of no other file. `scores` (n,) are those of `rows`, on the scale of their ratings."""
    values = np.asarray(scores, np.float64)
    ratings = np.array([row.labels[0] for row in rows])
    order = np.argsort(-values, kind="stable")
    apart = np.argsort(-np.abs(values - ratings), kind="stable")[:RESIDUALS]

    def shown(chosen: Iterable[int]) -> str:
        return _cards([(rows[i].path, _words(rows[i], values[i])) for i in chosen])

    return "\n".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            f"<style>{files('pqa.report').joinpath('style.css').read_text(encoding='utf-8')}{STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            section(f"Best {EXTREMES}", "Highest score first.", shown(order[:EXTREMES])),
            section(f"Worst {EXTREMES}", "Lowest score first.", shown(order[::-1][:EXTREMES])),
            section("Largest residuals", "Score minus mean rating, largest first.", shown(apart)),
            section(
                "Fault sets",
                "In the model's order, best first; the steps of strength go from 0 to 7.",
                *map(_set, sets),
            ),
            "</body></html>\n",
        ]
    )


def _words(row: Rated, score: float) -> str:
    name = row.image.rsplit("/", 1)[-1]
    return f"{name}, {row.scene}: score {score:.2f}, rated {row.labels[0]:.2f}, {score - row.labels[0]:+.2f}"


def _set(shots: Shots) -> str:
    values = np.asarray(shots.scores, np.float64)
    order = np.argsort(-values, kind="stable")
    cards = _cards([(shots.pictures[step], f"step {step}, {values[step]:.3f}") for step in order])
    return f"<h3>{escape(shots.title)}</h3>{cards}"


def _cards(cards: Iterable[tuple[ImageSource, str]]) -> str:
    made = (
        f'<figure><img src="{thumbnail(Image("", source))}" alt="">{escape(words)}</figure>' for source, words in cards
    )
    return f'<div class="cards">{"".join(made)}</div>'
