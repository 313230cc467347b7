"""Text from outside, made safe to print. Apart from `words`, so that `pqa --help` need not load what measures pictures."""

__all__ = ["plain"]


def plain(text: str) -> str:
    """`text` with control characters and undecodable bytes escaped: a file's name must not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
