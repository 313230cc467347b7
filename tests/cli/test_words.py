"""Flags in words."""

from pathlib import Path

from pqa.cli.words import FLAGS, flag_words

DOCUMENT = Path(__file__).parents[2] / "docs" / "service.md"


def test_every_flag_has_words_and_a_row_in_the_document() -> None:
    rows = {
        line.split("`")[1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `") and "PQA" not in line
    }
    assert rows >= FLAGS.keys()
    assert FLAGS.keys() >= {"truncated", "raw_preview", "gain_map_ignored", "first_frame", "no_face"}
    assert flag_words("of_tomorrow") == "of_tomorrow"
