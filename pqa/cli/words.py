"""Numbers and codes of an answer as words for people."""

from __future__ import annotations

from pqa.cli.text import plain
from pqa.pixels.measures import REASONS
from pqa.types import Reason, Score

__all__ = ["flag_words", "percent", "plain", "reason_words", "score_words"]

FLAGS: dict[str, str] = {
    "no_face": "no face found, judged as a whole",
    "many_faces": "several faces, the largest one judged",
    "small_face": "small face",
    "first_frame": "several frames or pages, the first one judged",
    "truncated": "the file was cut short, what came of it judged",
    "raw_preview": "camera RAW, the preview inside judged",
    "gain_map_ignored": "made for HDR screens too, judged as others show it",
    "untrained_model": "untrained model",
    "unlike_training": "unlike the photographs the model learned from",
}

# "The face is blurred." becomes a part of a longer line.
FAULTS: dict[str, str] = {row.code: row.words[:1].lower() + row.words[1:].rstrip(".") for row in REASONS}


def percent(chance: float) -> str:
    """A probability in [0, 1] in percent, never rounded to certainty."""
    if chance < 0.01:
        return "under 1 %"
    if chance > 0.99:
        return "over 99 %"
    return f"{100 * chance:.0f} %"


def score_words(row: Score) -> str:
    """Score and spread, as in `0.712 ± 0.055`."""
    return f"{row.score:.3f}" if row.score_std is None else f"{row.score:.3f} ± {row.score_std:.3f}"


def flag_words(flag: str) -> str:
    """A flag in words; one that is not known here as it is."""
    return FLAGS.get(flag, flag)


def reason_words(reason: Reason) -> str:
    """A fault in words, with what was measured and the limit it crossed; one that is not known here by its code."""
    words = FAULTS.get(reason.code, reason.code.replace("_", " "))
    unit = f" {reason.unit}" if reason.unit else ""
    return f"{words} ({reason.value:.3g}{unit}, limit {reason.threshold:.3g})"
