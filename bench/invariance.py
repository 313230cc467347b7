"""What must not move a portrait in its order: a blurred background, a skin tone, the size of the file.

    python -m bench.invariance --data BIQ2021 [--model MODEL] [--portraits 20] [--part choose|report]

Portraits are drawn as in `bench.faults`. Changes of score are told in tie bands: `pqa.ranking` calls two shots tied within
one band of each other.

- Focus: the background behind the one face, outside a soft outline of head and shoulders, blurred by a disc; those portraits
  are taken that are sharpest both there and on the face. And the opposite, the face blurred before the background as it was.
- Skin: L* (CIELAB) of the skin alone shifted, its colour and local contrast kept, where it stays within the range of tones.
  And all portraits of the part, as they are, by the luminance of the face: does the score leave the rating behind?
- Reduction: sets of a dozen camera-like shots (`pqa.simulator.camera.variants`), one shot of them replaced by its own
  reduction, or all reduced alike. A pair changes order when its scores do; a pair that was tied, only when the other shot
  then beats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

import pqa
from bench.faults import opened, parser_of, portraits, progress, scored, well_liked
from pqa.errors import DataError
from pqa.faces.detectors import load_detector
from pqa.pixels.source import open_picture
from pqa.ranking import TIE_PROBABILITY
from pqa.runtime.assess import Assessor
from pqa.simulator import camera
from pqa.simulator.camera import Pixels, Plane, convolve, disc, to_code, to_light
from pqa.types import Face

__all__ = ["Judge", "Judged", "assessor_judge", "bands", "changed", "luminance", "person", "shifted_skin"]

Array = npt.NDArray[np.float64]
Portrait = tuple[Pixels, Face]

RADII = (0.015, 0.03)
"""Of the blurring disc, in shorter sides."""

SHIFTS = (-25.0, -12.0, 12.0, 25.0)
"""Of the skin's L*."""

TONES = (5.0, 97.0)
"""L* between which 90 % of the skin must stay when it is shifted."""

FACTORS = (2, 4)
"""By which the side of a shot is reduced."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Scores (n,) and their spreads (n,), already divided by the calibration's slope between shots of one scene."""

    score: Array
    spread: Array


Judge = Callable[[Sequence[Pixels]], Judged]


def assessor_judge(assessor: Assessor) -> Judge:
    """Scores and spreads of a loaded model file. Raises DataError for a model without spread."""
    slope = assessor.predictor.spec.calibration.scene_slope

    def judge(pictures: Sequence[Pixels]) -> Judged:
        rows = scored(assessor, pictures)
        spreads = [row.score_std for row in rows if row.score_std is not None]
        if len(spreads) < len(rows):
            raise DataError("expected a model with a spread, which tie bands are made of; this one gives scores alone")
        return Judged(np.array([row.score for row in rows]), np.array(spreads) / slope)

    return judge


def bands(shot: Judged, against: Judged) -> Array:
    """Difference of score `shot` minus `against` in tie bands: above 1 the shot beats, below -1 it is beaten."""
    width = ndtri(TIE_PROBABILITY) * np.hypot(shot.spread, against.spread)
    return np.asarray((shot.score - against.score) / width, np.float64)


def changed(before: npt.ArrayLike, after: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether pairs change order, from their differences in tie bands: a sign turned, and not within the tie."""
    first, then = np.asarray(before, np.float64), np.asarray(after, np.float64)
    turned = np.sign(first) * np.sign(then) < 0
    return np.asarray(turned & ((np.abs(first) > 1) | (np.abs(then) > 1)))


def _ellipse(shape: tuple[int, ...], face: Face, reach: tuple[float, float], down: float) -> Plane:
    """1 within an ellipse of half-axes `reach` (in widths and heights of the face), `down` heights below its middle."""
    x1, y1, x2, y2 = face.box
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    x = (columns - (x1 + x2) / 2) / (reach[0] * (x2 - x1))
    y = (rows - (y1 + y2) / 2 - down * (y2 - y1)) / (reach[1] * (y2 - y1))
    return np.asarray(np.hypot(x, y) <= 1.0, np.float32)


def _soft(mask: Plane, face: Face, share: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.5, share * face.side)), np.float32)


def person(shape: tuple[int, ...], face: Face) -> Plane:
    """(H, W) from 0 to 1: a soft outline of head, hair and shoulders about a face box.

    Not that of `pqa.simulator.subject`, which cuts what a model is trained on: it is not judged by the mask it knows.
    """
    x1, y1, x2, y2 = face.box
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    depth = np.clip((rows - y2 + 0.1 * (y2 - y1)) / (1.3 * (y2 - y1)), 0.0, 1.0)
    half = 1.8 * (x2 - x1) * np.sqrt(1.0 - (1.0 - depth) ** 2)
    shoulders = (np.abs(columns - (x1 + x2) / 2) < half).astype(np.float32)
    return _soft(np.maximum(_ellipse(shape, face, (0.85, 0.9), -0.1), shoulders), face, 0.08)


def _composed(rgb: Pixels, sharp: Plane, blurred: npt.NDArray[np.floating]) -> Pixels:
    """`blurred` (H, W, 3) linear light where the mask `sharp` (H, W) is 0; where it is 1 the very pixels of `rgb`."""
    mixed = to_code(sharp[..., None] * to_light(rgb) + (1.0 - sharp[..., None]) * blurred)
    return np.asarray(np.where(sharp[..., None] > 0.999, rgb, mixed), np.uint8)


def blurred_behind(rgb: Pixels, face: Face, radius: float) -> Pixels:
    """The background out of focus; light of the person does not spread into it."""
    mask, spot = person(rgb.shape, face), disc(radius * min(rgb.shape[:2]))
    behind = 1.0 - mask
    weight = np.maximum(convolve(behind, spot), 1e-3)[..., None]
    return _composed(rgb, mask, convolve(to_light(rgb) * behind[..., None], spot) / weight)


def blurred_face(rgb: Pixels, face: Face, radius: float) -> Pixels:
    """The face out of focus, all else as it was."""
    around = 1.0 - _soft(_ellipse(rgb.shape, face, (0.65, 0.75), 0.0), face, 0.06)
    return _composed(rgb, around, convolve(to_light(rgb), disc(radius * min(rgb.shape[:2]))))


def sharpness(rgb: Pixels, face: Face) -> float:
    """Mean absolute Laplacian of luma on the face or behind the person, the lower; 0 where little background is seen."""
    luma = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.float32)
    detail = np.abs(cv2.Laplacian(cv2.GaussianBlur(luma, (0, 0), 1.0), cv2.CV_32F))
    behind, front = person(rgb.shape, face) < 0.02, _ellipse(rgb.shape, face, (0.5, 0.5), 0.0) > 0
    return float(min(detail[behind].mean(), detail[front].mean())) if behind.mean() > 0.2 else 0.0


def _lab(rgb: Pixels) -> Plane:
    """(H, W, 3) L* (0 to 100), a*, b*."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / np.float32(255.0), cv2.COLOR_RGB2LAB), np.float32)


def skin(rgb: Pixels, face: Face) -> Plane:
    """(H, W) from 0 to 1: what hangs together with the middle of the face and has its colour, softly.

    Zero where that runs out over the face's outline: hair or background have the same colour there.
    """
    lab = _lab(rgb)
    middle = np.median(lab[_ellipse(rgb.shape, face, (0.3, 0.3), 0.05) > 0], axis=0)
    alike = np.hypot(*np.moveaxis(lab[..., 1:] - middle[1:], -1, 0)) < 13.0
    alike &= (np.abs(lab[..., 0] - middle[0]) < 30.0) & (_ellipse(rgb.shape, face, (0.7, 0.95), 0.2) > 0)
    parts = cv2.connectedComponents(alike.astype(np.uint8))[1]
    inner = parts[(_ellipse(rgb.shape, face, (0.3, 0.3), 0.05) > 0) & alike]
    if not inner.size:
        return np.zeros(rgb.shape[:2], np.float32)
    grown = (parts == np.bincount(inner).argmax()).astype(np.float32)
    rim = _ellipse(rgb.shape, face, (0.7, 0.95), 0.2) > _ellipse(rgb.shape, face, (0.64, 0.87), 0.2)
    if grown[rim].mean() > 0.3:
        return np.zeros(rgb.shape[:2], np.float32)
    return _soft(grown, face, 0.025)


def luminance(rgb: Pixels, face: Face) -> float:
    """Median L* of the middle of the face."""
    return float(np.median(_lab(rgb)[..., 0][_ellipse(rgb.shape, face, (0.3, 0.3), 0.05) > 0]))


def shifted_skin(rgb: Pixels, face: Face, shift: float) -> Pixels | None:
    """The picture with the skin's L* shifted; None where no skin is made out, or a tenth of it would leave TONES."""
    lab, mask = _lab(rgb), skin(rgb, face)
    tones = lab[..., 0][mask > 0.5]
    if not tones.size:
        return None
    low, high = np.quantile(tones, (0.05, 0.95)) + shift
    if low < TONES[0] or high > TONES[1]:
        return None
    lab[..., 0] += np.float32(shift) * mask
    made = np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32)
    return np.where(mask[..., None] > 1e-3, np.rint(255.0 * np.clip(made, 0.0, 1.0)), rgb).astype(np.uint8)


def with_faces(pictures: Sequence[Pixels], *, alone: bool = False) -> list[Portrait | None]:
    """Each picture with its main face; None where none is found, or where `alone`, several."""
    detector = load_detector("mtcnn")
    found = [detector.detect(open_picture(rgb)) for rgb in pictures]
    return [
        (rgb, faces[0]) if faces and not (alone and len(faces) > 1) else None
        for rgb, faces in zip(pictures, found, strict=True)
    ]


def focus_table(judge: Judge, pictures: Sequence[Portrait]) -> str:
    """Markdown: background or face out of focus against the portrait as it was."""
    lines = ["| out of focus | radius | portraits | mean change | in tie bands | tied or above | below |"]
    lines.append("|---|---|---|---|---|---|---|")
    before = judge([rgb for rgb, _ in pictures])
    for name, blurred in (("background", blurred_behind), ("face", blurred_face)):
        for radius in RADII:
            after = judge([blurred(rgb, face, radius) for rgb, face in pictures])
            moved = bands(after, before)
            lines.append(
                f"| {name} | {radius:.1%} | {len(pictures)} | {(after.score - before.score).mean():+.3f} | "
                f"{moved.mean():+.2f} | {(moved >= -1).mean():.2f} | {(moved < 0).mean():.2f} |"
            )
    return "\n".join(lines)


def skin_table(judge: Judge, pictures: Sequence[Portrait], most: int) -> str:
    """Markdown: portraits with a darker or lighter skin against themselves, for each shift the first `most` that take it."""
    lines = ["| shift of L* | portraits | mean change | mean spread | largest change |", "|---|---|---|---|---|"]
    for shift in SHIFTS:
        pairs: list[tuple[Pixels, Pixels]] = []
        for rgb, face in pictures:
            made = shifted_skin(rgb, face, shift) if len(pairs) < most else None
            pairs += [(rgb, made)] if made is not None else []
        if not pairs:
            lines.append(f"| {shift:+.0f} | 0 | – | – | – |")
            continue
        before, after = judge([rgb for rgb, _ in pairs]), judge([made for _, made in pairs])
        change = after.score - before.score
        lines.append(
            f"| {shift:+.0f} | {len(pairs)} | {change.mean():+.3f} | {before.spread.mean():.3f} | "
            f"{change[np.abs(change).argmax()]:+.3f} |"
        )
    return "\n".join(lines)


def residual_table(judged: Judged, ratings: npt.ArrayLike, lightness: npt.ArrayLike, slices: int = 5) -> str:
    """Markdown: score minus rating by slices of the face's luminance, equally many portraits in each."""
    rated, tone = np.asarray(ratings, np.float64), np.asarray(lightness, np.float64)
    lines = ["| L* of the face | portraits | mean rating | mean residual | mean spread |", "|---|---|---|---|---|"]
    for part in np.array_split(np.argsort(tone, kind="stable"), slices):
        residual = judged.score[part] - rated[part]
        lines.append(
            f"| {tone[part].min():.0f} to {tone[part].max():.0f} | {len(part)} | {rated[part].mean():.3f} | "
            f"{residual.mean():+.3f} | {judged.spread[part].mean():.3f} |"
        )
    return "\n".join(lines)


def reduction_table(judge: Judge, pictures: Sequence[Pixels], on_set: Callable[[], None] = lambda: None) -> str:
    """Markdown: pairs of shots that change order when one or both are reduced, and what each kind of shot then gains."""
    counts: dict[tuple[str, int], list[Array]] = {(w, f): [] for w in ("one shot", "all shots") for f in FACTORS}
    gains: dict[str, list[list[float]]] = {}
    for number, rgb in enumerate(pictures):
        made = dict(camera.variants(rgb, seed=number))
        shots = list(made.values())
        whole = judge(shots)
        gained = []
        before = _pairs(whole, whole)
        others = ~np.eye(len(shots), dtype=bool)
        for factor in FACTORS:
            small = judge([open_picture(shot).reduced(max(1, min(shot.shape[:2]) // factor)) for shot in shots])
            moved = np.broadcast_to(bands(small, whole)[:, None], before.shape)
            for which, after in (("one shot", _pairs(small, whole)), ("all shots", _pairs(small, small))):
                table = np.stack([changed(before, after), np.sign(before) * np.sign(after) < 0, moved])
                counts[which, factor].append(table[:, others])
            gained.append(small.score - whole.score)
        for name, row in zip(made, np.transpose(gained).tolist(), strict=True):
            gains.setdefault(name, []).append(row)
        on_set()
    lines = ["| reduced | side | pairs | change order | of these or within ties | change of score in tie bands |"]
    lines.append("|---|---|---|---|---|---|")
    for (which, factor), found in counts.items():
        order, sign, moved = np.concatenate(found, axis=1)
        pairs = len(order) if which == "one shot" else len(order) // 2
        lines.append(
            f"| {which} | 1/{factor} | {pairs} | {order.mean():.3f} | {sign.mean():.3f} | {moved.mean():+.2f} |"
        )
    lines += [
        "",
        f"| shot | {' | '.join(f'gain at 1/{factor}' for factor in FACTORS)} |",
        f"|---{'|---' * len(FACTORS)}|",
    ]
    for name, rows in gains.items():
        lines.append(f"| {name} | {' | '.join(f'{gain:+.3f}' for gain in np.mean(rows, axis=0))} |")
    return "\n".join(lines)


def _pairs(shots: Judged, others: Judged) -> Array:
    """(n, n) difference in tie bands of each shot to each of the others."""
    return bands(Judged(shots.score[:, None], shots.spread[:, None]), others)


def main() -> None:
    args = parser_of(__doc__).parse_args()
    judge = assessor_judge(pqa.load(args.model, workers=args.workers))
    rows = portraits(args.data, args.part)
    liked = [opened(row) for row in well_liked(rows, len(rows))]
    alone = [found for found in with_faces(liked, alone=True) if found is not None]
    print(f"{args.part} part, model {args.model}\n\n## Focus\n")
    sharp = sorted(alone, key=lambda found: -sharpness(*found))
    print(focus_table(judge, sharp[: args.portraits]))
    print(f"\n## Skin\n\n{skin_table(judge, alone, args.portraits)}\n")
    everyone = [
        (row, found) for row, found in zip(rows, with_faces([opened(row) for row in rows]), strict=True) if found
    ]
    tones = [luminance(*found) for _, found in everyone]
    print(residual_table(judge([found[0] for _, found in everyone]), [row.labels[0] for row, _ in everyone], tones))
    step = progress(min(len(liked), args.portraits), "sets")
    print(f"\n## Reduction\n\n{reduction_table(judge, liked[: args.portraits], step)}")


if __name__ == "__main__":
    main()
