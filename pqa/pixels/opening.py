"""Strangers' readers, opened with care: whatever they raise leaves here as an `InputError`."""

from __future__ import annotations

import contextlib
import io
import struct
import threading
from collections.abc import Iterator

from PIL import (  # imported for their rows in Image.OPEN
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    Jpeg2KImagePlugin,  # noqa: F401
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from pqa import cancel
from pqa.errors import ImageTooLarge, InputError, UnreadableImage, UnsupportedImage

__all__ = ["MOST_PIECES", "input_errors", "opened"]

MOST_PIECES = 65_536
"""Chunks of a PNG, or steps through the head of a JPEG: above it a file is made to keep a reader busy. Of the largest
files that are taken, those with chunks of a few kilobytes stay below it."""

_heif_lock = threading.Lock()


@contextlib.contextmanager
def input_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"the header promises too many pixels: {error}") from error
    except MemoryError as error:
        raise ImageTooLarge(f"{doing} failed: there is not enough memory for it") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"{doing} failed: damaged, or of a kind that is not read here") from error
    except Exception as error:  # decoders raise whatever they like on hostile files
        raise UnreadableImage(f"{doing} failed: {type(error).__name__}: {str(error)[:200]}") from error


def opened(data: bytes, name: str) -> Image.Image:
    """The picture as Pillow's reader of the format opens it, no pixel decoded.

    Not by `Image.open`, whose limit on pixels is one for the whole process: `Limits` is what holds here. Raises what readers
    raise; UnsupportedImage where an extra is missing.
    """
    if name == "HEIF":
        _register_heif()
    factory, accept = Image.OPEN[name]
    try:
        if accept is None or accept(data[:16]) is True:
            return factory(_Asking(data), "")
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        raise UnidentifiedImageError(f"no {name} that is read here: {error}") from error
    raise UnidentifiedImageError(f"no {name}")


class _Asking(io.BytesIO):
    """Pillow's own decoders take a file piece by piece: between the pieces they can be stopped."""

    def read(self, size: int | None = -1, /) -> bytes:
        cancel.check()
        return super().read(size)


def _register_heif() -> None:
    with _heif_lock:
        if "HEIF" in Image.OPEN:
            return
        try:
            import pillow_heif
        except ImportError as error:
            raise UnsupportedImage("HEIC needs pillow-heif; install it with: pip install 'pqa[heic]'") from error
        pillow_heif.register_heif_opener()
