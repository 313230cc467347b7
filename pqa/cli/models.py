"""`pqa models`: what the store holds, and the pretrained weights that training starts from."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pqa.cli.main import EXIT_OK
from pqa.errors import ModelNotFound
from pqa.runtime.store import DEFAULT_MODEL, Entry, Model, ModelStore
from pqa.session import PROVIDERS
from pqa.weights import VARIABLE, WEIGHTS, Weight, locate

__all__ = ["configure", "run"]

EPILOG = """Models are the shipped ones and every .onnx file in the folders of
PQA_MODELS_DIR (separated like PATH). A file that cannot be used stays listed
with what is wrong with it.

examples:
  pqa models
  pqa models --json
  pqa models --card scene_gate
  pqa models --weights"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--json", action="store_true", help="print a JSON list, for machines")
    parser.add_argument("--card", metavar="NAME", help="print the card of one model: its data, its licence, its limits")
    parser.add_argument("--weights", action="store_true", help="list the pretrained weights that models start from")
    parser.add_argument("--provider", choices=PROVIDERS, default="cpu", help="where models run (default: cpu)")


def run(args: argparse.Namespace) -> int:
    if args.weights:
        _print_weights(as_json=args.json)
        return EXIT_OK
    entries = ModelStore(provider=args.provider).entries()
    if args.card:
        print(_card(entries, args.card))
    elif args.json:
        print(json.dumps([_row(entry) for entry in entries], indent=2, allow_nan=False))
    else:
        _print_table(entries)
    return EXIT_OK


def _print_weights(*, as_json: bool) -> None:
    rows = [asdict(row) | {"path": _found(row)} for row in WEIGHTS.values()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(f"{row['name']}: {row['megabytes']} MB, licence {row['licence']}, for {', '.join(row['used_by'])}")
        print(f"  {row['path'] or row['origin']}, sha256 {row['sha256'] or 'unknown'}")
    print(f"{VARIABLE} names the folder in which they are looked for, as NAME.safetensors, before the hub.")


def _found(row: Weight) -> str | None:
    path = locate(row)
    return None if path is None else str(path)


def _card(entries: list[Entry], name: str) -> str:
    wanted = DEFAULT_MODEL if name == "default" else name
    cards = {entry.path.stem: entry.card for entry in entries}
    card = cards.get(wanted)
    if card is None:
        known = ", ".join(sorted(stem for stem, path in cards.items() if path)) or "none"
        raise ModelNotFound(f"no model card named {name!r}; models with a card: {known}")
    return card.read_text(encoding="utf-8").rstrip()


def _row(entry: Entry) -> dict[str, Any]:
    if entry.model is None:
        return {"name": entry.path.stem, "path": str(entry.path), "error": entry.error}
    model = entry.model
    spec = model.spec
    return {
        "name": entry.path.stem,
        "path": str(entry.path),
        "error": None,
        "version": spec.version,
        "sha256": model.info.sha256,
        "bytes": model.bytes,
        "architecture": spec.architecture,
        "description": spec.description,
        "trained": spec.trained,
        "provider": model.provider,
        "views": [{"name": v.name, "kind": v.kind, "size": v.size, "crops": v.crops} for v in spec.views],
        "attributes": spec.attributes,
        "scenes": spec.scenes,
        "sets": spec.sets,
        "scale": {"min": spec.range[0], "max": spec.range[1]},
        "licence": spec.licence,
        "data": spec.data,
    }


def _print_table(entries: list[Entry]) -> None:
    console = Console(soft_wrap=False)
    if not entries:
        console.print("no models: none is shipped with this installation and PQA_MODELS_DIR names no folder with one")
        return
    for entry in entries:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        facts = _facts(entry.model) if entry.model else _damage(entry)
        for name, value in facts:
            table.add_row(f"  {name}", value if isinstance(value, Text) else Text(value))
        default = " (default)" if entry.path.stem == DEFAULT_MODEL else ""
        console.print(Text(entry.path.stem, style="bold") + Text(default), table, sep="\n")


def _damage(entry: Entry) -> list[tuple[str, str | Text]]:
    error = (entry.error or "").removeprefix(f"{entry.path}: ")
    return [("error", Text(error, style="red")), ("file", _short(entry.path))]


def _facts(model: Model) -> list[tuple[str, str | Text]]:
    spec = model.spec
    views = ", ".join(
        f"{view.name} {'x'.join(map(str, view.size))}{f' of {view.crops}' if view.crops > 1 else ''}"
        for view in spec.views
    )
    scenes = ", ".join(spec.scenes[:8]) + (f" and {len(spec.scenes) - 8} more" if len(spec.scenes) > 8 else "")
    return [
        ("version", f"{spec.version}, sha256 {model.info.sha256[:12]}"),
        ("what", spec.description or spec.architecture),
        ("trained", "yes" if spec.trained else Text("no: its scores mean nothing", style="yellow")),
        ("views", views),
        ("attributes", ", ".join(spec.attributes)),
        ("scenes", scenes or "none"),
        ("range", f"{spec.range[0]:g} to {spec.range[1]:g}"),
        ("data", ", ".join(spec.data) or "not said"),
        ("licence", spec.licence),
        ("runs on", f"{model.provider}, detector {spec.detector}"),
        ("size", f"{model.bytes / 1e6:.1f} MB"),
        ("file", _short(model.path)),
    ]


def _short(path: Path) -> str:
    """The path as seen from the working directory, where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
