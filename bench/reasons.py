"""Whether the reasons beside a score are right: on sound portraits, where few are due, and under made faults, where one is.

    python -m bench.reasons --data BIQ2021 [--part choose|report] [--portraits 50] [--marks | --profile]

BIQ2021 is the folder of that set's training split. Sound portraits: the 200 best rated of its archive and stock photographs
with a face, outside the report part, on which the thresholds of `pqa.pixels.measures` were set; and those of the report part
that are rated at least as well. Every reason given to one was looked at: `bench/reasons.csv` holds the verdicts.
Made faults: every n-th of the same portraits under the faults of `pqa.simulator.camera`, the reasons of the untouched face
counted; and under blurs whose width is a share of the face's side, written as JPEG, the face looked for anew.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
from PIL import Image

from pqa.data import sets
from pqa.data.rated import Rated
from pqa.faces.detectors import Detector, load_detector
from pqa.pixels.blur import directional_spectrum
from pqa.pixels.measures import FACE_LEAST, FACE_SIDE, REASONS, measure, reasons
from pqa.pixels.source import Pixels, open_picture
from pqa.simulator import camera
from pqa.types import Face

VERDICTS = Path(__file__).with_suffix(".csv")
SUBSETS = ("ss01", "ss03")
COUNT = 200
WORKING_SIDE = 1024
FAULTS = ("defocus", "lens_blur", "motion", "sensor_noise", "under_exposure", "over_exposure", "haze", "smear", "jpeg")
WIDTHS = (0.03, 0.04, 0.06, 0.1, 0.2, 0.4)
BLUR_CODES = {"face_blur", "eyes_soft", "blur"}
JPEG_QUALITY = 85
LEAST_SIDE = 60  # pixels of a face in the sharp profile

Part = Literal["choose", "report"]


class Mark(NamedTuple):
    """One reason given to one portrait."""

    name: str
    sha256: str
    code: str
    value: float


def sound(folder: Path, part: Part) -> list[Rated]:
    """The sound portraits, best rated first; `choose` stands for all that is not the report part."""
    rows = [row for row in sets.read(folder, "biq2021").rows if row.condition == "portrait" and row.scene in SUBSETS]
    rows.sort(key=lambda row: (-row.labels[0], row.path.name))
    chosen = [row for row in rows if row.part != "report"][:COUNT]
    if part == "choose":
        return chosen
    return [row for row in rows if row.part == "report" and row.labels[0] >= chosen[-1].labels[0]]


def marks(rows: Sequence[Rated], detector: Detector) -> list[Mark]:
    """Every reason that is given to the pictures as they are."""
    found = []
    for row in rows:
        source = open_picture(row.path)
        face = next(iter(detector.detect(source)), None)
        found += [
            Mark(row.path.name, source.sha256, reason.code, reason.value) for reason in reasons(measure(source, face))
        ]
    return found


def verdicts() -> dict[tuple[str, str], str]:
    """ "right" or "wrong" by hash and code."""
    with VERDICTS.open(newline="", encoding="utf-8") as file:
        return {(row["sha256"], row["code"]): row["verdict"] for row in csv.DictReader(file)}


def wrong_table(found: Sequence[Mark], count: int) -> str:
    judged = verdicts()
    cells = Counter((mark.code, judged.get((mark.sha256, mark.code), "unjudged")) for mark in found)
    wrong = {mark.sha256 for mark in found if judged.get((mark.sha256, mark.code)) == "wrong"}
    lines = ["| reason | given | right | wrong | unjudged |", "|---|---|---|---|---|"]
    for row in REASONS:
        numbers = [cells[row.code, verdict] for verdict in ("right", "wrong", "unjudged")]
        lines.append(f"| {row.code} | {sum(numbers)} | " + " | ".join(map(str, numbers)) + " |")
    lines.append(f"\n{len(wrong)} of {count} portraits ({len(wrong) / count:.1%}) have a wrong reason.")
    lines += [f"unjudged: {mark}" for mark in found if (mark.sha256, mark.code) not in judged]
    return "\n".join(lines)


def fault_table(pictures: Sequence[tuple[Pixels, Face]], strengths: Sequence[float]) -> str:
    """Share of the pictures that get each reason; faces are those of the untouched pictures."""
    codes = [row.code for row in REASONS]
    lines = ["| fault | strength | " + " | ".join(codes) + " |", "|---|---|" + "---|" * len(codes)]
    for fault, strength in [("none", 0.0), *((fault, strength) for fault in FAULTS for strength in strengths)]:
        counts: Counter[str] = Counter()
        for number, (rgb, face) in enumerate(pictures):
            shot = camera.apply(rgb, fault, strength, np.random.default_rng(number)) if strength else rgb
            counts.update(reason.code for reason in reasons(measure(open_picture(shot), face)))
        cells = (f"{counts[code] / len(pictures):.2f}" for code in codes)
        lines.append(f"| {fault} | {strength} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shake(length: float, rng: np.random.Generator) -> camera.Plane:
    """The trace of a hand that swings as it moves: a curve of a length in pixels at a random angle, of sum 1."""
    time = np.linspace(-1.0, 1.0, 400)
    along = np.sin(time * np.pi / 2) if rng.random() < 0.5 else time
    across = rng.uniform(0.1, 0.4) * np.sin(np.pi * rng.uniform(0.5, 1.5) * time + rng.uniform(0.0, 2 * np.pi))
    angle = rng.uniform(0.0, np.pi)
    cosine, sine = np.cos(angle), np.sin(angle)
    reach = int(np.ceil(0.75 * length)) + 2
    edges = np.arange(-reach, reach + 2) - 0.5
    trace, _, _ = np.histogram2d(
        length / 2 * (along * sine + across * cosine), length / 2 * (along * cosine - across * sine), (edges, edges)
    )
    # A point lies between pixels: spread over a pixel and a half, the trace has no steps of its own.
    smooth = np.asarray(cv2.GaussianBlur(trace.astype(np.float32), (0, 0), 0.5), np.float32)
    return smooth / smooth.sum()


def blurred(rgb: Pixels, kind: str, width: float, rng: np.random.Generator) -> Pixels:
    """A picture under a blur of a width in pixels: length of motion, diameter of a disc, a Gaussian's width at half height."""
    light = camera.to_light(rgb)
    if kind == "gaussian":
        sigma = width / 2.355
        return camera.to_code(np.asarray(cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)))
    if kind == "motion":
        kernel = camera.streak(width, rng.uniform(0.0, np.pi))
    else:
        kernel = camera.disc(width / 2) if kind == "disc" else shake(width, rng)
    return camera.to_code(camera.convolve(light, kernel))


def blur_table(pictures: Sequence[tuple[Pixels, Face]], detector: Detector) -> str:
    """Share of blurred portraits that get a reason of blur, and share whose face is no longer found."""
    lines = ["| blur | width, % of the face | named | face lost | named of these |", "|---|---|---|---|---|"]
    for kind in ("motion", "shake", "disc", "gaussian"):
        for width in WIDTHS:
            named, lost = np.zeros(len(pictures), bool), np.zeros(len(pictures), bool)
            for number, (rgb, face) in enumerate(pictures):
                shot = blurred(rgb, kind, width * face.side, np.random.default_rng(number))
                buffer = io.BytesIO()
                Image.fromarray(shot).save(buffer, "JPEG", quality=JPEG_QUALITY)
                source = open_picture(buffer.getvalue())
                found = next(iter(detector.detect(source)), None)
                lost[number] = found is None
                named[number] = any(reason.code in BLUR_CODES for reason in reasons(measure(source, found)))
            of_lost = f"{named[lost].mean():.2f}" if lost.any() else "-"
            lines.append(f"| {kind} | {100 * width:.0f} | {named.mean():.2f} | {lost.mean():.2f} | {of_lost} |")
    return "\n".join(lines)


def profile(rows: Sequence[Rated], detector: Detector) -> list[float]:
    """Median over portraits of the mean over directions of a face's log spectrum, by band: `pqa.pixels.blur.SHARP`."""
    found = []
    for row in rows:
        source = open_picture(row.path)
        face = next(iter(detector.detect(source)), None)
        if face is None or face.side < LEAST_SIDE:
            continue
        crop = source.region(face.box, FACE_SIDE, FACE_LEAST)
        side = max(crop.shape[:2])
        spectrum = directional_spectrum(np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.float32), float(side))
        if spectrum is not None:
            bands = spectrum[0].mean(axis=0)
            found.append(np.pad(bands, (0, 9 - len(bands)), constant_values=np.nan))
    return [round(float(value), 2) for value in np.nanmedian(found, axis=0)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of BIQ2021's training split")
    parser.add_argument("--part", choices=("choose", "report"), default="choose", help="which sound portraits (choose)")
    parser.add_argument("--portraits", type=int, default=50, help="how many of them are given faults (50)")
    parser.add_argument(
        "--strengths", type=float, nargs="+", default=[0.25, 0.5], help="of the camera's faults, 0 to 1"
    )
    parser.add_argument("--marks", action="store_true", help="list every reason given, as rows to judge, and stop")
    parser.add_argument("--profile", action="store_true", help="print the spectrum of the sound faces, and stop")
    args = parser.parse_args()
    rows, detector = sound(args.data, args.part), load_detector("mtcnn")
    if args.profile:
        print(profile(rows, detector))
        return
    found = marks(rows, detector)
    if args.marks:
        for mark in found:
            print(f"{mark.sha256},{mark.code},,  {mark.name} {mark.value:.2f}")
        return
    print(f"{len(rows)} sound portraits, {args.part}\n\n{wrong_table(found, len(rows))}\n")
    pictures = []
    for row in rows[:: max(1, len(rows) // args.portraits)]:
        source = open_picture(row.path)
        if faces := detector.detect(source):
            pictures.append((source.reduced(WORKING_SIDE), faces[0]))
    print(f"{len(pictures)} portraits with made faults\n\n{fault_table(pictures, args.strengths)}\n")
    print(blur_table(pictures, detector))


if __name__ == "__main__":
    main()
