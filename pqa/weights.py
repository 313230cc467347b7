"""Pretrained weights that recipes start from: what they are, who says so, and where a copy lies on this machine.

Nothing here downloads. `locate` finds `NAME.safetensors` in the folder of the variable PQA_WEIGHTS_DIR and holds it
against its checksum: the table's, else the one that a `SHA256SUMS` file of the folder states.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pqa.errors import MissingWeights, ModelError

__all__ = ["VARIABLE", "WEIGHTS", "Weight", "locate", "missing", "verify"]

VARIABLE = "PQA_WEIGHTS_DIR"
SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Weight:
    """One set of weights. `megabytes` is its size in float32 (1e6 bytes: four times its parameters).

    `origin` is where to get it. `hub` and `file` name it on the Hugging Face hub ("" where it is not there: then the
    file must lie in the folder). `sha256` is the checksum of that file, "" where nobody who knows has stated one: a sum
    taken here of whatever came would prove nothing.
    """

    name: str
    megabytes: int
    licence: str
    origin: str
    hub: str = ""
    file: str = "model.safetensors"
    sha256: str = ""
    used_by: tuple[str, ...] = ()


def _hub(name: str, megabytes: int, licence: str, used_by: tuple[str, ...]) -> Weight:
    return Weight(name, megabytes, licence, f"https://huggingface.co/timm/{name}", hub=f"timm/{name}", used_by=used_by)


def _clip(name: str, repository: str, megabytes: int, used_by: tuple[str, ...]) -> Weight:
    origin = f"https://huggingface.co/timm/{repository}"
    return Weight(name, megabytes, "MIT", origin, f"timm/{repository}", "open_clip_model.safetensors", used_by=used_by)


_ROWS = (
    _hub("resnet50.tv_in1k", 102, "BSD-3-Clause", ("hyperiqa", "sem_hyperiqa", "fhiqa")),
    _hub("vit_base_patch16_clip_224.laion2b_ft_in12k_in1k", 346, "Apache-2.0", ("scene_gate",)),
    _clip("ViT-B-16-quickgelu.openai", "vit_base_patch16_clip_224.openai", 598, ("rq_net", "sar")),
    _clip("ViT-B-32-quickgelu.openai", "vit_base_patch32_clip_224.openai", 605, ("liqe",)),
    _hub("swin_large_patch4_window12_384.ms_in22k_ft_in1k", 787, "MIT", ("bdvqa",)),
    _hub("swin_base_patch4_window12_384.ms_in22k", 437, "MIT", ("pqe",)),
    _hub("swin_base_patch4_window7_224.ms_in22k", 437, "MIT", ("scene_gate",)),
    _hub("vit_base_patch16_384.augreg_in21k_ft_in1k", 347, "Apache-2.0", ("monet",)),
    Weight("liqe", 605, "not stated by its authors", "https://github.com/zwx8981/LIQE", used_by=("pqe",)),
    # A detector: `python -m export.light_dsfd` turns it into the light_dsfd.onnx that `pqa.runtime.dsfd` reads.
    Weight("light_dsfd", 57, "not stated by its authors", "https://github.com/lijiannuist/lightDSFD", used_by=("sar",)),
)

WEIGHTS: dict[str, Weight] = {row.name: row for row in _ROWS}


def locate(weight: Weight) -> Path | None:
    """The weight's file in the folder of PQA_WEIGHTS_DIR, or None. Raises ModelError where its checksum is another."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    path = Path(folder) / f"{weight.name}.safetensors"
    if not path.is_file():
        return None
    verify(path, weight, _stated(path) or weight.sha256)
    return path


def verify(path: Path, weight: Weight, expected: str) -> None:
    """Raises ModelError where the file's sha256 is not the expected one; does nothing where that is unknown ("")."""
    if not expected:
        return
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != expected.lower():
        raise ModelError(
            f"{path}: expected sha256 {expected}, got {got}: the file is damaged or another one; "
            f"get it again from {weight.origin}"
        )


def missing(weight: Weight, reason: str) -> MissingWeights:
    """The error for a weight that could not be had: names it, its origin and the variable."""
    return MissingWeights(
        f"no pretrained weights {weight.name!r} ({reason}). They come from {weight.origin}; put them as "
        f"{weight.name}.safetensors into a folder and set {VARIABLE} to it, or build with pretrained=False"
    )


def _stated(path: Path) -> str:
    """The checksum that the folder's SHA256SUMS (lines of `digest  file`) gives for the file, or ""."""
    sums = path.parent / SUMS
    if not sums.is_file():
        return ""
    for line in sums.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition(" ")
        if name.strip().lstrip("*") == path.name:
            return digest
    return ""
