"""Tables of pairwise judgements, one row a judgement.

Columns (names in any case; `-`, `_` and blanks alike), in either of the two forms that pwcmp uses:

    Observer, Session, Scene, Condition_1, Condition_2, Selection         Selection 1 or 2
    observer, session_id, scene, condition_A, condition_B, is_A_selected  is_A_selected 1 or 0

Observer, session and scene may be missing: without observers intervals rest on single judgements, without scenes all
conditions form one. The first condition is the one shown on the left. Rows that cannot be used are left out and
repeats are kept; both are counted and named by line in `JudgementTable.problems`.

Source of the layout: Perez-Ortiz and Mantiuk 2017 (arXiv 1712.03686), documentation of pwcmp.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pqa.errors import DataError
from pqa.judging.scaling import Judgements

__all__ = ["JudgementTable", "Problem", "read_conditions", "read_judgements", "unjudged"]

_COLUMNS = {
    "observer": ("observer", "observerid"),
    "session": ("session", "sessionid"),
    "scene": ("scene",),
    "first": ("condition1", "conditiona"),
    "second": ("condition2", "conditionb"),
    "answer": ("selection", "isaselected"),
}
_ANSWERS = {"selection": {"1": True, "2": False}, "isaselected": {"1": True, "0": False, "true": True, "false": False}}
_MISSING = {"", "nan", "na", "n/a", "null", "none"}
_DEFAULT_SCENE = "default"


@dataclass(frozen=True, slots=True)
class Problem:
    """`count` rows share a fault; `lines` are the first of them (the header is line 1); `used` says whether they count."""

    code: str
    message: str
    count: int
    lines: tuple[int, ...]
    used: bool


@dataclass(frozen=True, slots=True)
class JudgementTable:
    """Judgements by scene, in order of appearance, and what was wrong with the table."""

    scenes: Mapping[str, Judgements]
    problems: tuple[Problem, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    observer: str
    session: str
    scene: str
    first: str
    second: str
    left: bool


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def read_judgements(path: Path | str, conditions: Mapping[str, Iterable[str]] | None = None) -> JudgementTable:
    """Read a table. `conditions` (scene to names) adds conditions that no judgement names yet.

    Raises DataError for an unreadable file, missing or doubled columns, or no usable row (the reasons are counted).
    """
    rows, problems, total, has_observers = _rows(Path(path))
    known = {scene: dict.fromkeys(names) for scene, names in (conditions or {}).items()}
    for row in rows:
        known.setdefault(row.scene, {}).update(dict.fromkeys((row.first, row.second)))
    if not known:
        reasons = "; ".join(f"{problem.count} x {problem.message}" for problem in problems) or "it has no rows"
        raise DataError(f"{path}: no usable judgement among {total} rows: {reasons}")
    scenes = {
        scene: _scene([row for row in rows if row.scene == scene], tuple(names), has_observers)
        for scene, names in known.items()
    }
    return JudgementTable(scenes, tuple(problems + (_repeats(rows) if has_observers else [])), total)


def unjudged(conditions: Mapping[str, Iterable[str]]) -> JudgementTable:
    """The table of a study that has not begun: conditions by scene, no judgement."""
    scenes = {
        scene: _scene([], tuple(dict.fromkeys(names)), has_observers=False) for scene, names in conditions.items()
    }
    return JudgementTable(scenes, (), 0)


def read_conditions(path: Path | str) -> dict[str, list[str]]:
    """The conditions of a study that has not started: a CSV with the columns `image` or `condition`, and `scene`."""
    _, records = _records(Path(path))
    scenes: dict[str, list[str]] = {}
    for line, record in records:
        name = record.get("condition", record.get("image", ""))
        if _absent(name):
            raise DataError(f"{path}, line {line}: expected a column condition or image with a name, got none")
        scenes.setdefault(record.get("scene", "") or _DEFAULT_SCENE, []).append(name)
    return scenes


def _absent(text: str) -> bool:
    return text.casefold() in _MISSING


def _records(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Header (plain names) and (line, plain name to text) of every row that is not blank."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [_plain(name) for name in next(reader, [])]
            rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected a CSV file in UTF-8: {error}") from error
    doubled = sorted({name for name in header if name and header.count(name) > 1})
    if doubled:
        raise DataError(f"{path}: columns appear more than once: {', '.join(doubled)}")
    return header, [(line, {n: c.strip() for n, c in zip(header, cells, strict=False)}) for line, cells in rows]


def _rows(path: Path) -> tuple[list[_Row], list[Problem], int, bool]:
    header, records = _records(path)
    column = {key: next((name for name in names if name in header), "") for key, names in _COLUMNS.items()}
    lacking = [_COLUMNS[key] for key in ("first", "second", "answer") if not column[key]]
    if lacking:
        raise DataError(
            f"{path}: missing columns: {', '.join(' or '.join(names) for names in lacking)}; "
            f"expected Observer, Session, Scene, Condition_1, Condition_2, Selection, got {', '.join(header) or 'none'}"
        )
    answers = _ANSWERS[column["answer"]]
    rows: list[_Row] = []
    faults: dict[tuple[str, str], list[int]] = {}
    for line, record in records:
        value = {key: record.get(name, "") if name else "" for key, name in column.items()}
        needed = [key for key in ("observer", "scene", "first", "second", "answer") if column[key]]
        empty = [column[key] for key in needed if _absent(value[key])]
        answer = answers.get(value["answer"].casefold().removesuffix(".0"))
        if empty:
            faults.setdefault(("missing_value", f"no value in {', '.join(empty)}"), []).append(line)
        elif value["first"] == value["second"]:
            faults.setdefault(("same_condition", "a condition compared with itself"), []).append(line)
        elif answer is None:
            expected = " nor ".join(answers)
            faults.setdefault(("bad_answer", f"{column['answer']} is neither {expected}"), []).append(line)
        else:
            scene = value["scene"] or _DEFAULT_SCENE
            rows.append(_Row(line, value["observer"], value["session"], scene, value["first"], value["second"], answer))
    problems = [
        Problem(code, message, len(lines), tuple(lines[:10]), used=False) for (code, message), lines in faults.items()
    ]
    return rows, problems, len(records), bool(column["observer"])


def _repeats(rows: list[_Row]) -> list[Problem]:
    """Rows whose observer judged the same pair before: told apart by whether the answer, then the order, is the same."""
    seen: dict[tuple[str, str, str, frozenset[str]], list[_Row]] = {}
    found: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        before = seen.setdefault((row.observer, row.session, row.scene, frozenset((row.first, row.second))), [])
        if before:
            chosen = row.first if row.left else row.second
            agrees = any((old.first if old.left else old.second) == chosen for old in before)
            copied = any((old.first, old.left) == (row.first, row.left) for old in before)
            kind = (
                ("duplicate", "the same row again (an observer's repeat, or a file joined twice)")
                if copied
                else ("repeat", "the same pair judged again, with the same answer")
                if agrees
                else ("contradiction", "the same pair judged again, with the other answer")
            )
            found.setdefault(kind, []).append(row.line)
        before.append(row)
    return [Problem(code, text, len(lines), tuple(lines[:10]), used=True) for (code, text), lines in found.items()]


def _scene(rows: list[_Row], conditions: tuple[str, ...], has_observers: bool) -> Judgements:
    index = {name: k for k, name in enumerate(conditions)}
    observers = tuple(dict.fromkeys(row.observer for row in rows)) if has_observers else ()
    person = {name: k for k, name in enumerate(observers)}
    chosen = [(row.first, row.second) if row.left else (row.second, row.first) for row in rows]
    return Judgements(
        conditions=conditions,
        winner=np.array([index[winner] for winner, _ in chosen], np.int64),
        loser=np.array([index[loser] for _, loser in chosen], np.int64),
        left=np.array([row.left for row in rows], np.bool_),
        observer=np.array([person[row.observer] for row in rows], np.int64) if has_observers else None,
        observers=observers,
    )
