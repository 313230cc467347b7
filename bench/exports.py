"""Every model exported, compared with torch on real portraits, and timed.

    python -m bench.exports --proof DIR [--size full] [--pictures N] [NAME ...]
    python -m bench.exports --table

The first takes DIR's first portraits (`pqa export --proof`), one model a process so that its memory is given back, and
writes its row of `bench/exports.csv`; the second prints the rows as the table of docs/models.md. Untrained weights, noise
added until the scores spread (`export.command.perturb`).

Time of one picture is processor time on one thread, median of REPEATS runs of the graph alone as it is served, or one run
where that takes over LONG seconds: other work on the machine does not count. At full size all models take hours on two cores.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from multiprocessing import get_context
from pathlib import Path

import onnxruntime
import torch

from export.command import perturb, untrained_spec
from export.onnx import export
from export.proof import PORTRAITS, proof_views
from pqa import nn
from pqa.session import open_session

__all__ = ["FILE", "Row", "main", "measure", "read", "table"]

FILE = Path(__file__).parent / "exports.csv"
REPEATS, LONG = 3, 10.0
SEED = 0


@dataclass(frozen=True)
class Row:
    """`seconds`: making the graph, checking it and running the proof in ONNX Runtime; `spread` and `difference` are those
    of the scores over the proof's `pictures`; `milliseconds` one picture on one thread."""

    model: str
    size: str
    megabytes: str
    seconds: str
    pictures: str
    spread: str
    difference: str
    milliseconds: str
    onnxruntime: str


def measure(name: str, size: str, folder: Path, pictures: int = PORTRAITS) -> Row:
    """Export one model to a temporary folder, proved on the first `pictures`. Raises what `pqa export` raises."""
    torch.manual_seed(SEED)
    model = nn.build(name, size)
    spec = untrained_spec(model, name, size)
    proof = [view[:pictures] for view in proof_views(spec.views, detector=spec.detector, folder=folder)]
    scores = perturb(model, proof)
    with tempfile.TemporaryDirectory() as out:
        path = Path(out) / f"{name}.onnx"
        start = time.perf_counter()
        parity = export(model, spec, proof, path, scores).parity
        seconds = time.perf_counter() - start
        del model
        one = {view.name: values[:1] for view, values in zip(spec.views, proof, strict=True)}
        milliseconds = _milliseconds(path, one)
        megabytes = path.stat().st_size / 1e6
    if parity is None:
        raise RuntimeError(f"{name}: exported without a parity")
    return Row(
        name,
        size,
        f"{megabytes:.1f}",
        f"{seconds:.0f}",
        str(parity.pictures),
        f"{parity.spread:.3g}",
        f"{parity.max_difference:.2g}",
        f"{milliseconds:.3g}" if milliseconds < 100 else f"{milliseconds:.0f}",
        onnxruntime.__version__,
    )


def _milliseconds(path: Path, feed: dict[str, object]) -> float:
    session = open_session(path.read_bytes(), threads=1)
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        session.run(["score"], feed)
        times.append(time.process_time() - start)
        if times[0] > LONG:
            break
    return 1000 * statistics.median(times)


def read(file: Path = FILE) -> list[Row]:
    """The rows measured so far."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return [Row(**values) for values in csv.DictReader(lines)]


def _keep(row: Row, file: Path = FILE) -> None:
    """Put a row into the file in place of that model's and size's last one."""
    others = [old for old in read(file) if (old.model, old.size) != (row.model, row.size)]
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(each) for each in sorted([*others, row], key=lambda each: (each.size, each.model)))


def table(rows: Iterable[Row]) -> str:
    """Markdown."""
    lines = [
        "| model | size | file, MB | export, s | pictures | spread | largest difference | difference / spread "
        "| one picture, s (one thread) | ONNX Runtime |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        share = float(row.difference) / float(row.spread)
        lines.append(
            f"| `{row.model}` | {row.size} | {row.megabytes} | {row.seconds} | {row.pictures} | {row.spread} "
            f"| {row.difference} | {share:.1e} | {float(row.milliseconds) / 1000:.3g} | {row.onnxruntime} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every model")
    parser.add_argument("--proof", type=Path, metavar="DIR", help="folder of portraits")
    parser.add_argument("--size", default="full")
    parser.add_argument(
        "--pictures",
        type=int,
        default=PORTRAITS,
        help="fewer of them, where a picture takes minutes (default: %(default)s)",
    )
    parser.add_argument("--table", action="store_true", help="print the rows measured so far")
    options = parser.parse_args(arguments)
    if options.table == (options.proof is not None):
        parser.error("give either --proof DIR or --table")
    if options.table:
        print(table(read()))
        return
    for name in options.names or sorted(nn.MODELS):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            row = pool.submit(measure, name, options.size, options.proof, options.pictures).result()
        _keep(row)
        print(table([row]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
