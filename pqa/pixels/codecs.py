"""Files to 8-bit sRGB pixels: decoding at a scale, colour, orientation.

Used by `source` alone. Decoders are strangers' code fed with strangers' files: whatever they raise leaves here as an
`InputError`.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms

from pqa import cancel
from pqa.errors import UnreadableImage, UnsupportedImage
from pqa.pixels import tiff, tonemap
from pqa.pixels.headers import Header, is_still_webp
from pqa.pixels.opening import input_errors, opened

__all__ = ["FLIPPED_X", "FLIPPED_Y", "QUARTERS", "decode", "displayed", "eight_bit"]

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

FLIPPED_X, FLIPPED_Y = (2, 3, 6, 7), (3, 4, 7, 8)
"""EXIF orientations whose displayed axis runs against the stored one."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes stored pixels upright, by EXIF orientation; 1 is upright."""

QUARTERS = ((1, 8, 3, 6), (2, 5, 4, 7))
"""EXIF orientations, each turning the displayed picture by a quarter counter-clockwise from the one before, in a circle."""

BACKGROUND = 128
"""Grey level behind transparent pixels: neither dark nor clipped, so that a cut-out looks neither badly exposed nor glaring."""

ROWS = 64
"""Rows that are finished at once, so that intermediate values of a large picture take little memory: a multiple of scales."""

_BROKEN_PROFILE = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
"""What comes of one, which is then ignored."""


def decode(data: bytes, info: Header, scale: int) -> Image.Image:
    """ceil(W / scale) x ceil(H / scale) pixels of sRGB (mode RGB), displayed upright; `scale` is 1, 2, 4 or 8.

    JPEG is decoded at the scale (libjpeg's scaled inverse DCT); other formats are decoded whole and box-reduced. Not an
    array: those who ask for pixels reduce them first, and at 12 megapixels each change of container costs as much as the
    decoding.
    """
    with input_errors(f"decoding {info.format}"):
        if info.format == "TIFF" and info.deep:
            return _tiff_by_samples(data, info, scale)
        with opened(data, info.format) as image:
            return _decoded(data, info, image, scale)


def _decoded(data: bytes, info: Header, image: Image.Image, scale: int) -> Image.Image:
    srgb = _Srgb(image.info.get("icc_profile"))
    size = (info.width, info.height)
    if info.coding is not None:
        cut, size = _mapped(_values(data, info, image), info.coding)
        return _finished(cut, size, srgb, info.orientation, scale)
    # Pillow would hold what these decoders give beside its own copy of it, of WebP three times.
    if info.deep or is_still_webp(data):
        values = _by_opencv(data, info)
        return _finished(lambda box: _of_bgr(values, box), values.shape[1::-1], srgb, info.orientation, scale)
    if info.format == "HEIF" and image.mode in ("RGB", "RGBA", "L", "I;16"):
        pixels = _by_libheif(data, info)
        return _finished(lambda box: _part(pixels, box), size, srgb, info.orientation, scale)
    if info.format == "JPEG" and scale > 1:
        image.draft(None, (max(1, info.width // scale), max(1, info.height // scale)))
    _load(image)
    if info.format != "JPEG":
        _check_decoded(info, image.size)
    elif max(image.size) == -(-max(info.width, info.height) // scale):
        scale = 1
    if info.orientation == 1 and srgb.has_nothing_to_do(image):
        return _shrink(image, scale)
    return _finished(image.crop, image.size, srgb, info.orientation, scale)


def _load(image: Image.Image) -> None:
    if image.format == "TIFF":
        # Its reader asks for Pillow's limit on pixels, one for the whole process, where it makes the room for them itself.
        image.im = Image.new(image.mode, image._tile_size).im  # type: ignore[attr-defined]  # of a TIFF alone
    image.load()


def _tiff_by_samples(data: bytes, info: Header, scale: int) -> Image.Image:
    of = tiff.layout(data)
    values, profile = tiff.pixels(data, of), of.tags.get(tiff.PROFILE)
    srgb = _Srgb(profile if isinstance(profile, bytes) else None)
    is_cmyk = of.one(tiff.PHOTOMETRIC, tiff.WHITE_IS_ZERO) == tiff.CMYK
    cut = (lambda box: _cmyk(values, box)) if is_cmyk else (lambda box: _part(values, box))
    return _finished(cut, (info.width, info.height), srgb, info.orientation, scale)


def _values(data: bytes, info: Header, image: Image.Image) -> npt.NDArray[Any]:
    """Pixels in the coding of the file: (H, W), (H, W, 3) RGB or (H, W, 4) RGBA, with the bits that the decoder gives."""
    if info.format == "HEIF":
        return _by_libheif(data, info, deep=True)
    if info.deep:
        values = _by_opencv(data, info)
        return values if values.ndim == 2 else values[..., [2, 1, 0, 3][: values.shape[2]]]
    image.load()
    _check_decoded(info, image.size)
    mode = "RGBA" if _is_transparent(image) else "RGB"
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _mapped(values: npt.NDArray[Any], of: tonemap.Coding) -> tuple[Callable[[Box], Image.Image], tuple[int, int]]:
    colours = values[..., :3] if values.ndim == 3 else values
    mapping = tonemap.Mapping(of, colours)

    def cut(box: Box) -> Image.Image:
        rows = slice(box[1], box[3]), slice(box[0], box[2])
        mapped = mapping(colours[rows])
        if values.ndim == 3 and values.shape[2] == 4:
            alpha = values[..., 3:][rows]
            mapped = np.concatenate([mapped, _eight_bits(alpha)], axis=2)
        return Image.fromarray(eight_bit(mapped))

    return cut, values.shape[1::-1]


def _check_decoded(info: Header, size: tuple[int, int]) -> None:
    if size != (info.width, info.height):
        raise UnreadableImage(f"the header says {info.width}x{info.height}, the pixels are {size}")


def _finished(
    cut: Callable[[Box], Image.Image], size: tuple[int, int], srgb: _Srgb, orientation: int, scale: int
) -> Image.Image:
    """Decoded pixels in sRGB, upright and reduced, in strips, so that a large picture is not held twice.

    `cut` gives a part of the `size` stored pixels. No step sees more than a pixel, or a block of `scale` of them, so the
    strips change nothing.
    """
    width, height = size[::-1] if orientation >= 5 else size
    whole = Image.new("RGB", (-(-width // scale), -(-height // scale)))
    for top in range(0, height, ROWS):
        cancel.check()
        bottom = min(top + ROWS, height)
        first, last = (height - bottom, height - top) if orientation in FLIPPED_Y else (top, bottom)
        box = (first, 0, last, size[1]) if orientation >= 5 else (0, first, size[0], last)
        whole.paste(_shrink(_turned(srgb(cut(box)), orientation), scale), (0, top // scale))
    return whole


def _shrink(image: Image.Image, scale: int) -> Image.Image:
    return image if scale == 1 else image.reduce(scale)


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    """Stored pixels as displayed, by the EXIF orientation 1 to 8."""
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _by_opencv(data: bytes, info: Header) -> npt.NDArray[Any]:
    """Pixels of 8 or 16 bits as they are stored: (H, W) grey, (H, W, 3) BGR or (H, W, 4) BGRA."""
    values: npt.NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise UnreadableImage(f"decoding {info.format} failed: truncated or damaged data")
    if not info.deep:
        _check_decoded(info, values.shape[1::-1])
    return values


def _of_bgr(values: npt.NDArray[Any], box: Box) -> Image.Image:
    pixels = eight_bit(values[box[1] : box[3], box[0] : box[2]])
    return Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]) if values.ndim == 3 else pixels)


def _by_libheif(data: bytes, info: Header, *, deep: bool = False) -> npt.NDArray[Any]:
    """(H, W) or (H, W, 3 or 4) as it is stored, of uint8; of uint16 where there are more bits and `deep`, or grey."""
    import pillow_heif

    # As its Pillow plugin opens it. Rows are longer than the picture, by bytes that need not make whole pixels.
    file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=not deep, hdr_to_16bit=True, remove_stride=False)
    _check_decoded(info, file.size)
    mode, _, bits = file.mode.partition(";")
    each = np.dtype("<u2" if bits else "u1")
    channels = 1 if mode == "I" else len(mode)
    rows = np.frombuffer(file.data, np.uint8).reshape(-1, file.stride)[:, : info.width * channels * each.itemsize]
    pixels = np.ascontiguousarray(rows).view(each) if bits else rows
    return pixels if channels == 1 else pixels.reshape(info.height, info.width, channels)


def _part(pixels: npt.NDArray[Any], box: Box) -> Image.Image:
    part = np.ascontiguousarray(pixels[box[1] : box[3], box[0] : box[2]])
    return Image.fromarray(part if part.dtype == np.uint8 else eight_bit(part))


def _cmyk(pixels: npt.NDArray[Any], box: Box) -> Image.Image:
    part = np.ascontiguousarray(_eight_bits(pixels[box[1] : box[3], box[0] : box[2]]))
    return Image.frombytes("CMYK", part.shape[1::-1], part.tobytes())


def eight_bit(values: npt.NDArray[Any]) -> Pixels:
    """(H, W), (H, W, 3) or (H, W, 4) of uint8 or uint16 to (H, W, 3) uint8; 16 bits are scaled (v / 257, rounded)."""
    if values.dtype == np.uint8 and values.ndim == 3 and values.shape[2] == 3:
        return np.ascontiguousarray(values)
    pixels = np.empty((*values.shape[:2], 3), np.uint8)
    for top in range(0, len(values), ROWS):
        pixels[top : top + ROWS] = _eight_bit_rows(values[top : top + ROWS])
    return pixels


def _eight_bit_rows(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    values = _eight_bits(values)
    if values.ndim == 2:
        return values[..., None]
    if values.shape[2] == 4:
        alpha = values[..., 3:].astype(np.uint32)
        mixed = values[..., :3].astype(np.uint32) * alpha + BACKGROUND * (255 - alpha)
        values = ((mixed + 127) // 255).astype(np.uint8)
    return values


def _eight_bits(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values if values.dtype == np.uint8 else ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def displayed(image: Image.Image) -> Pixels:
    """(H, W, 3) sRGB of a picture that somebody else opened with Pillow, upright. Raises InputError where it cannot be read."""
    with input_errors("reading a Pillow picture"):
        image.load()  # which turns TIFF upright and takes its tag away
        return np.array(_turned(_Srgb(image.info.get("icc_profile"))(image), _stated(image)))


def _stated(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # EXIF is decoration: garbage in it never fails a picture
        return 1


class _Srgb:
    """Any mode of Pillow to RGB in sRGB, by the profile of the file; transparent pixels over BACKGROUND."""

    def __init__(self, profile: bytes | None) -> None:
        self._profile = profile
        self._transforms: dict[str, ImageCms.ImageCmsTransform | None] = {}

    def __call__(self, image: Image.Image) -> Image.Image:
        if image.mode.startswith("I;16"):
            image = Image.fromarray(eight_bit(np.asarray(image).astype(np.uint16)))
        elif image.mode in ("I", "F", "LAB"):
            raise UnsupportedImage(
                f"pixels of the kind {image.mode!r} are not photographs this reads; save as 8 or 16 bits RGB"
            )
        if _is_transparent(image):
            image = Image.fromarray(eight_bit(np.asarray(image.convert("RGBA"))))
        elif image.mode in ("P", "1"):
            image = image.convert("RGB")
        if (transform := self._transform(image.mode)) is not None:
            with contextlib.suppress(*_BROKEN_PROFILE):
                return transform.apply(image)
        return image if image.mode == "RGB" else image.convert("RGB")

    def has_nothing_to_do(self, image: Image.Image) -> bool:
        return image.mode == "RGB" and not _is_transparent(image) and self._transform("RGB") is None

    def _transform(self, mode: str) -> ImageCms.ImageCmsTransform | None:
        """From pixels of this mode; None where there is no other profile than sRGB, or a broken one."""
        if self._profile is not None and mode not in self._transforms:
            self._transforms[mode] = None
            with contextlib.suppress(*_BROKEN_PROFILE):
                source = ImageCms.ImageCmsProfile(io.BytesIO(self._profile))
                if "srgb" not in ImageCms.getProfileDescription(source).lower():
                    target, intent = ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
                    self._transforms[mode] = ImageCms.buildTransform(source, target, mode, "RGB", intent)
        return self._transforms.get(mode)


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
