"""Arguments that several commands share, and what they make of them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pqa.cli.inputs import Inputs, collect
from pqa.cli.text import plain
from pqa.pixels.source import DEFAULT_LIMITS, Limits
from pqa.runtime.assess import SCENE_MODES, Assessor, load
from pqa.session import PROVIDERS

if TYPE_CHECKING:
    from pqa.client import Client

__all__ = ["add_inputs", "add_model", "add_scores", "find_inputs", "limits", "open_model", "positive"]

PATHS = """PATH is a picture, a folder, a pattern in quotes, a CSV map, or "-" for a list
of paths on standard input. A folder holds pictures, or a folder a scene
(scene/*.jpg), or within that a folder a device (scene/device/*.jpg). Of several
folders each is a scene, or holds scenes of its own. A CSV map has the columns
image, scene and, if wanted, device. RAW files stay with the picture of the same
name; alone they are scored by the preview inside. Links, hidden files, and
folders of bins and thumbnails are passed over."""

MIB = 1 << 20


def positive(text: str) -> int:
    """An argument that counts something: an integer of at least 1."""
    value = int(text)
    if value < 1:
        raise ValueError
    return value


positive.__name__ = "positive integer"  # argparse names the type in its message


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Which pictures, and their scenes."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="pictures, folders, patterns, maps, or - (see below)")
    group = parser.add_argument_group("pictures")
    group.add_argument(
        "--map", type=Path, metavar="CSV", help="scenes and devices of the pictures: image,scene[,device]"
    )
    group.add_argument("--scene", metavar="NAME", help="scene of pictures that no folder or map gives one")
    group.add_argument("--follow-links", action="store_true", help="take links in folders, which are else passed over")
    group.add_argument(
        "--max-megapixels",
        type=positive,
        metavar="N",
        default=DEFAULT_LIMITS.max_pixels // 1_000_000,
        help="refuse larger pictures before decoding (default: %(default)s)",
    )
    group.add_argument(
        "--max-mib",
        type=positive,
        metavar="N",
        default=DEFAULT_LIMITS.max_bytes // MIB,
        help="refuse larger files, in MiB (default: %(default)s)",
    )


def find_inputs(args: argparse.Namespace) -> Inputs:
    """The pictures that the arguments of `add_inputs` mean; says on stderr what was passed over."""
    found = collect(args.paths, stdin=sys.stdin, scene_map=args.map, scene=args.scene, follow_links=args.follow_links)
    for note in found.notes:
        print(f"pqa: {plain(note)}", file=sys.stderr)
    return found


def limits(args: argparse.Namespace) -> Limits:
    """The limits that the arguments of `add_inputs` set."""
    return Limits(max_bytes=args.max_mib * MIB, max_pixels=args.max_megapixels * 1_000_000)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it runs."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", default="default", help="name in the store (see: pqa models) or path of an .onnx file"
    )
    group.add_argument("--allow-untrained", action="store_true", help="accept a model that was exported untrained")
    group.add_argument("--provider", choices=PROVIDERS, default="cpu", help="where the model runs (default: cpu)")
    group.add_argument("--workers", type=positive, metavar="N", help="pictures in work at once (default: processors)")
    group.add_argument(
        "--faces",
        type=positive,
        metavar="N",
        default=1,
        help="faces of a picture, largest first, that get a quality of their own (default: %(default)s)",
    )
    group.add_argument(
        "--upright", action="store_true", help="score pictures whose face lies as if they were turned until it stands"
    )
    group.add_argument(
        "--server",
        metavar="URL",
        help="score on a service (see: pqa serve), by its models and limits; PQA_CLIENT_KEY holds its key, if it wants one",
    )


def add_scores(parser: argparse.ArgumentParser, scene_mode: str) -> None:
    """What is scored."""
    group = parser.add_argument_group("scores")
    group.add_argument("--attribute", default="overall", help="overall (default), detail, exposure: what the model has")
    group.add_argument(
        "--scene-mode",
        choices=SCENE_MODES,
        default=scene_mode,
        help="whose guess of the kind of scene scales a score: the picture's own (image), that of all pictures of its "
        f"scene (group), or none, because the scene is one the model knows by name (known); default: {scene_mode}",
    )


@contextmanager
def open_model(args: argparse.Namespace) -> Iterator[Assessor | Client]:
    """The model that the arguments of `add_model` ask for, with the limits of `add_inputs`, here or on a service."""
    if args.server:
        # Here, because it needs an extra.
        from pqa.client import Client

        with Client(args.server, api_key=os.environ.get("PQA_CLIENT_KEY"), model=args.model) as client:
            yield client
        return
    yield load(
        args.model,
        allow_untrained=args.allow_untrained,
        provider=args.provider,
        workers=args.workers,
        limits=limits(args),
        faces=args.faces,
        upright=args.upright,
    )
