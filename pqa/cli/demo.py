"""`pqa demo`: the whole way once, from one portrait to a ranking, a contact sheet and an answer over HTTP."""

from __future__ import annotations

import argparse
import http.client
import json
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from rich.console import Console

from pqa.cli import contact_sheet
from pqa.cli.main import EXIT_OK, EXIT_PARTIAL
from pqa.cli.table import print_ranking, progress
from pqa.cli.text import plain
from pqa.data.assets import ASTRONAUT
from pqa.errors import ModelError, PqaError
from pqa.pixels.source import open_picture
from pqa.runtime.assess import load
from pqa.simulator import camera
from pqa.types import Image, Ranking

__all__ = ["configure", "run"]

EPILOG = """The portrait ships with pqa; pqa/data/assets/README.md says where it is from.

examples:
  pqa demo
  pqa demo --dir /tmp/demo --no-serve"""

START_SECONDS = 120.0
"""Longest wait for the service: loading a model takes seconds, on a busy machine some more."""

PORT = 8000
"""Of the service that is named in the end."""

STOP_SECONDS = 40.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--dir", type=Path, default=Path("demo"), help="folder for what it makes (default: demo)")
    parser.add_argument("--no-serve", action="store_true", help="stop after the contact sheet, start no service")
    parser.add_argument("--model", default="default", help="name in the store or path of an .onnx file")
    parser.add_argument("--allow-untrained", action="store_true", help="accept a model that was exported untrained")


def run(args: argparse.Namespace) -> int:
    console = Console()
    folder: Path = args.dir
    assessor = load(args.model, allow_untrained=args.allow_untrained)
    images = _portraits(folder)
    print(f"{len(images)} variants of one portrait in {plain(str(folder / 'portraits'))}\n")
    with progress(len(images)) as advance:
        ranking = assessor.rank(images, on_done=advance)
    print_ranking(console, ranking)
    sheet = folder / "contact-sheet.html"
    contact_sheet.write(sheet, ranking, images)
    print(f"\ncontact sheet: {plain(str(sheet))}")
    if not args.no_serve:
        _ask_service(images, ranking, args.model, args.allow_untrained, folder / "serve.log")
    return EXIT_PARTIAL if ranking.unscored else EXIT_OK


def _portraits(folder: Path) -> list[Image]:
    """Write the variants as files, so that they can be looked at and sent."""
    target = folder / "portraits"
    target.mkdir(parents=True, exist_ok=True)
    portrait = open_picture(ASTRONAUT.read_bytes())
    rgb = portrait.whole()
    images = []
    for name, pixels in camera.variants(rgb):
        path = target / f"{name}.jpg"
        Pillow.fromarray(pixels).save(path, quality=95)
        images.append(Image(path.name, path))
    return images


def _ask_service(images: Sequence[Image], ranking: Ranking, model: str, untrained: bool, log: Path) -> None:
    options = ["--model", model, *(["--allow-untrained"] if untrained else [])]
    with _service(options, log) as port:
        print("\nservice ready; the same pictures over HTTP:")
        answer = _post(port, {image.id: Path(str(image.source)).read_bytes() for image in images})
    for number, row in enumerate(answer["groups"][0]["ranking"], 1):
        print(f"{number:4}  {row['score']:.3f}  {row['id']}")
    print(_agreement(answer, ranking))
    # Not the port of the service above, which is gone.
    uploads = " ".join(f"-F images=@{shlex.quote(str(image.source))}" for image in images)
    print("\nservice stopped; to ask one yourself, start it, and in another terminal send the pictures:")
    print(f"  pqa serve --port {PORT} {shlex.join(options)}")
    print(f"  curl {uploads} http://127.0.0.1:{PORT}/rank")


def _agreement(answer: Any, ranking: Ranking) -> str:
    """What the service's answer has in common with the command line's."""
    if answer["groups"] == json.loads(json.dumps(ranking.to_dict()["groups"])):
        return "the same answer as on the command line, to the last bit"
    here = {row.id: row.score for group in ranking.groups for row in group.ranking}
    there = {row["id"]: row["score"] for group in answer["groups"] for row in group["ranking"]}
    largest = max((abs(here[id] - there[id]) for id in here.keys() & there.keys()), default=0.0)
    return f"another answer than on the command line: scores differ by up to {largest:.2g}"


@contextmanager
def _service(options: Sequence[str], log: Path) -> Iterator[int]:
    """`pqa serve` in a process of its own on a free port of this machine, stopped by SIGTERM. Gives the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "pqa", "serve", "--host", "127.0.0.1", "--port", str(port), *options]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            _wait_until_ready(process, port, log)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ModelError(f"the service ended with code {process.returncode}: {_last_words(log)}")
        try:
            status, _ = _request(port, "GET", "/readyz")
        except OSError:
            status = 0
        if status == http.HTTPStatus.OK:
            return
        time.sleep(0.1)
    raise ModelError(f"the service was not ready within {START_SECONDS:.0f} s: {_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return f"{lines[-1] if lines else 'it said nothing'} (see {log})"


def _request(port: int, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _post(port: int, pictures: dict[str, bytes]) -> Any:
    """`POST /rank` with the files in repeated fields `images`, as curl sends them; gives the answer document."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="{name}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n".encode()
        + data
        + b"\r\n"
        for name, data in pictures.items()
    ]
    body = b"".join(parts) + f"--{boundary}--\r\n".encode()
    status, content = _request(port, "POST", "/rank", body, f"multipart/form-data; boundary={boundary}")
    if status != http.HTTPStatus.OK:
        raise PqaError(f"the service answered {status}: {content.decode(errors='replace')}")
    return json.loads(content)
