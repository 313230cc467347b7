"""A ranking as tables for people, and the progress bar of long work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pqa.cli.words import flag_words, percent, plain, reason_words, score_words
from pqa.types import Group, Ranking, Score, Unscored, Warn

__all__ = ["print_ranking", "print_row", "print_unscored", "progress"]

STATUS_STYLE = "red"


@contextmanager
def progress(total: int, doing: str = "scoring", *, hidden: bool = False) -> Iterator[Callable[[], None]]:
    """A bar on stderr, there only while a person watches; gives the function to call after each picture."""
    console = Console(stderr=True)
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    disable = hidden or not console.is_terminal
    # With `redirect_stdout` what is printed meanwhile would go to stderr, and be missing in the file that stdout is.
    with Progress(*columns, console=console, transient=True, disable=disable, redirect_stdout=False) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def print_ranking(console: Console, ranking: Ranking) -> None:
    """The pictures of each scene, best first, then warnings and what could not be scored."""
    for group in ranking.groups:
        console.print(Text("\n").join([_heading(group), *_lines(group)]), soft_wrap=True)
    print_unscored(console, ranking.unscored, ranking.warnings)


def print_row(console: Console, row: Score | Unscored) -> None:
    """One picture, what was found in it below; of one without a score only that there is none."""
    if isinstance(row, Score):
        line = Text(f"{score_words(row)}  ").append(plain(row.id), style="bold")
        console.print(Text("\n").join([line, *(Text("  ") + found for found in _found(row))]), soft_wrap=True)
    else:
        console.print(Text(row.status, style=STATUS_STYLE).append(f"  {plain(row.id)}", style="bold"), soft_wrap=True)
    console.file.flush()


def print_unscored(console: Console, rows: Sequence[Unscored], warnings: Sequence[Warn]) -> None:
    """Warnings and the pictures without a score, each with its reason."""
    for warning in warnings:
        console.print(Text(f"warning: {plain(warning.message)}", style="yellow"))
    if not rows:
        return
    console.print(Text(f"not scored: {len(rows)}", style="bold"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(style=STATUS_STYLE, no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(Text(plain(row.id)), row.status, Text(plain(row.detail)))
    console.print(table)


def _heading(group: Group) -> Text:
    count = len(group.order)
    text = Text(plain(group.scene), style="bold")
    text.append(f"  {count} picture{'s' * (count != 1)}", style="not bold")
    if group.best is not None and count > 1:
        text.append(f", the first is the best with a chance of {percent(group.best.p_best)}", style="not bold")
    return text


def _lines(group: Group) -> Iterator[Text]:
    """A picture a line, what was found in it below; a stroke ties together the pictures of one tie group."""
    wide = max(len(score_words(row)) for row in group.ranking)
    yield Text(f"rank  {'score':{wide}}  beats first  picture", style="bold")
    wins = group.win_probability
    for _, band in groupby(group.ranking, key=lambda row: row.tie_group):
        rows = list(band)
        for place, row in enumerate(rows):
            first, last = place == 0, place == len(rows) - 1
            bracket = " " if first and last else "┐" if first else "┘" if last else "│"
            chance = "" if wins is None or row.rank == 1 else percent(wins[row.rank - 1][0])
            line = Text(f"{row.rank:3} {bracket} {score_words(row):{wide}}  {chance:>11}  ")
            yield line.append(plain(row.id), style="bold")
            for found in _found(row):
                yield Text(f"    {' ' if last else '│'}   ") + found


def _found(row: Score) -> list[Text]:
    """Faults, the most severe first, then flags."""
    faults = [Text(reason_words(reason), style="yellow") for reason in row.reasons]
    return faults + [Text(flag_words(flag), style="cyan") for flag in row.flags]
