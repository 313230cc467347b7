"""The contact sheet: a ranking as one HTML file that needs nothing else, neither scripts nor the network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from pathlib import Path

from PIL import Image as Pillow

from pqa.cli.words import flag_words, percent, plain, reason_words, score_words
from pqa.errors import InputError
from pqa.pixels.source import DEFAULT_LIMITS, Limits, open_picture
from pqa.types import Face, Group, Image, RankedScore, Ranking, Unscored

__all__ = ["MAX_HEAT", "html", "thumbnail", "write"]

SHORT_SIDE = 240
"""Pixels of a thumbnail's shorter edge: sharp on a dense display, some 15 kB as JPEG."""

LONG_SIDE = 2 * SHORT_SIDE
"""Panoramas are reduced further, to this."""

MAX_HEAT = 30
"""Pictures in the table of win probabilities; a larger one cannot be read."""


def write(path: Path, ranking: Ranking, images: Iterable[Image], limits: Limits = DEFAULT_LIMITS) -> None:
    """Write the sheet of `ranking`; `images` are the pictures it ranks (their ids as in the ranking)."""
    ranked = {row.id for group in ranking.groups for row in group.ranking}
    thumbnails = {image.id: thumbnail(image, limits) for image in images if image.id in ranked}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html(ranking, thumbnails), encoding="utf-8")


def thumbnail(image: Image, limits: Limits = DEFAULT_LIMITS) -> str:
    """The picture as a small JPEG in a data: URI; empty where it can no longer be read."""
    try:
        pixels = open_picture(image.source, limits).reduced(SHORT_SIDE)
    except InputError:
        return ""
    small = Pillow.fromarray(pixels)
    small.thumbnail((LONG_SIDE, LONG_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def html(ranking: Ranking, thumbnails: Mapping[str, str]) -> str:
    """The sheet's HTML. `thumbnails` maps ids to data: URIs; pictures without one get an empty frame."""
    model = ranking.model
    pictures = sum(len(group.order) for group in ranking.groups)
    style = files("pqa.cli").joinpath("contact_sheet.css").read_text(encoding="utf-8")
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Portraits by {_text(ranking.attribute)} quality</title><style>{style}</style></head><body>",
            f"<h1>Portraits by {_text(ranking.attribute)} quality</h1>",
            f"<p>{pictures} ranked in {len(ranking.groups)} scene{'s' * (len(ranking.groups) != 1)}, best first. "
            f"Model {_text(model.name)} {_text(model.version)} ({model.sha256[:12]}), scale {model.scale.min:g} to "
            f"{model.scale.max:g}. Compare scores within a scene only.</p>",
            *(f'<p class="warning">{_text(warning.message)}</p>' for warning in ranking.warnings),
            *(_group(group, thumbnails) for group in ranking.groups),
            _unscored(ranking.unscored),
            "</body></html>\n",
        ]
    )


def _text(value: str) -> str:
    return escape(plain(value), quote=True)


def _group(group: Group, thumbnails: Mapping[str, str]) -> str:
    count = len(group.order)
    about = f"{count} picture{'s' * (count != 1)}"
    if group.best is not None and count > 1:
        about += f", the first is the best with a chance of {percent(group.best.p_best)}"
    low = min(row.score - (row.score_std or 0) for row in group.ranking)
    high = max(row.score + (row.score_std or 0) for row in group.ranking)
    bands = []
    for _, band in groupby(group.ranking, key=lambda row: row.tie_group):
        rows = list(band)
        first, last = rows[0].rank, rows[-1].rank
        title = f"Rank {first}" if first == last else f"Ranks {first} to {last}: too close to call"
        cards = "".join(_card(row, thumbnails.get(row.id, ""), low, high) for row in rows)
        bands.append(f'<div class="band"><p>{title}</p><div class="cards">{cards}</div></div>')
    return (
        f"<section><h2>{_text(group.scene)}</h2><p>{about}</p>"
        f'<div class="bands">{"".join(bands)}</div>{_heat(group)}</section>'
    )


def _card(row: RankedScore, uri: str, low: float, high: float) -> str:
    photo = ""
    if uri:
        boxes = "".join(_box(face, row.width, row.height) for face in row.faces)
        photo = f'<figure><img src="{uri}" alt="">{boxes}</figure>'
    chips = [f"<li>{_text(reason_words(reason))}</li>" for reason in row.reasons]
    chips += [f'<li class="flag">{_text(flag_words(flag))}</li>' for flag in row.flags]
    relative = "" if row.relative_quality is None else f"<span>{row.relative_quality:+.1f} relative</span>"
    return (
        f'<article class="card{" best" if row.rank == 1 else ""}"><div class="photo">{photo}</div>'
        f'<div class="name"><b>{row.rank}</b><span>{_text(row.id)}</span></div>'
        f'<div class="score"><span>{score_words(row)}</span>{relative}</div>'
        f"{_strip(row, low, high)}<ul>{''.join(chips) or '<li class=none>no fault measured</li>'}</ul></article>"
    )


def _box(face: Face, width: int, height: int) -> str:
    x1, y1, x2, y2 = face.box
    left, top = 100 * x1 / width, 100 * y1 / height
    size = f"width:{100 * (x2 - x1) / width:.2f}%;height:{100 * (y2 - y1) / height:.2f}%"
    return f'<div class="face{"" if face.used else " other"}" style="left:{left:.2f}%;top:{top:.2f}%;{size}"></div>'


def _strip(row: RankedScore, low: float, high: float) -> str:
    """Where the score and its spread lie between the scene's extremes."""
    span = high - low or 1.0
    x, reach = 4 + 192 * (row.score - low) / span, 192 * (row.score_std or 0) / span
    return (
        '<svg viewBox="0 0 200 14" preserveAspectRatio="none" aria-hidden="true">'
        '<line class="axis" x1="0" y1="7" x2="200" y2="7"/>'
        f'<line class="whisker" x1="{x - reach:.1f}" y1="7" x2="{x + reach:.1f}" y2="7"/>'
        f'<circle class="dot" cx="{x:.1f}" cy="7" r="4"/></svg>'
    )


def _heat(group: Group) -> str:
    """The win probabilities of the first pictures, row against column."""
    table = group.win_probability
    if table is None or len(table) < 2:
        return ""
    shown = min(len(table), MAX_HEAT)
    caption = "Chance that the row's picture is rated above the column's, in percent"
    if shown < len(table):
        caption += f" (the first {shown} of {len(table)})"
    head = "".join(f"<th>{number}</th>" for number in range(1, shown + 1))
    rows = "".join(
        f"<tr><th>{_text(name)} {number + 1}</th>{_cells(table[number][:shown], number)}</tr>"
        for number, name in enumerate(group.order[:shown])
    )
    return f"<table><caption>{caption}</caption><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(chances: Sequence[float], row: int) -> str:
    cells = []
    for column, chance in enumerate(chances):
        colour, strength = ("--win" if chance > 0.5 else "--loss"), 1.3 * abs(chance - 0.5)
        style = f"background:rgba(var({colour}),{strength:.2f})"
        number = "&lt;1" if chance < 0.01 else "&gt;99" if chance > 0.99 else f"{100 * chance:.0f}"
        cells.append('<td class="self"></td>' if column == row else f'<td style="{style}">{number}</td>')
    return "".join(cells)


def _unscored(rows: Sequence[Unscored]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td>{_text(row.id)}</td><td>{_text(row.status)}</td><td>{_text(row.detail)}</td></tr>" for row in rows
    )
    return f'<section><h2>Not scored</h2><table class="unscored"><tbody>{lines}</tbody></table></section>'
