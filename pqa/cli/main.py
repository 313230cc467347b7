"""The command `pqa`: finds the command asked for, loads only that one, and turns every error into one line.

A command is an entry point of the group `pqa.commands` whose module offers `configure(parser)` and
`run(args) -> int`. Other packages add commands in the same way.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import pqa
from pqa.cli.text import plain
from pqa.errors import ConfigurationError, MissingExtra, PqaError, unknown_key

__all__ = ["EXIT_OK", "EXIT_PARTIAL", "EXIT_USAGE", "GROUP", "SUMMARIES", "main"]

GROUP = "pqa.commands"

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_INTERRUPTED = 130  # as shells report SIGINT ...
EXIT_PIPE = 141  # ... and SIGPIPE

# Here and not in the commands, so that `pqa --help` loads none of them.
SUMMARIES: dict[str, str] = {
    "rank": "rank the portraits of each scene, best first, with reasons",
    "score": "score portraits one by one",
    "models": "list the models at hand",
    "serve": "answer POST /rank and /score over HTTP",
    "demo": "rank made-up variants of a portrait, then ask the service for the same",
    "evaluate": "compare predictions with human ratings, scene by scene",
    "scale": "turn pairwise judgements into JOD scores",
    "data": "look over a data set, or cut it down to its faces",
    "simulate": "make a data set of simulated cameras from a folder of portraits",
    "train": "train a model from a recipe",
    "export": "write a model as one .onnx file and prove that it gives the same scores",
}

# What an import that fails tells about the installation.
EXTRAS: dict[str, str] = {
    "facenet_pytorch": "train",
    "lightning": "train",
    "onnx": "train",
    "onnxruntime": "cpu",
    "onnxscript": "train",
    "open_clip": "train",
    "pillow_heif": "heic",
    "pyarrow": "parquet",
    "safetensors": "train",
    "tensorboard": "train",
    "timm": "train",
    "torch": "train",
    "torchvision": "train",
}

EXIT_CODES = """exit codes:
  0  done, every picture scored
  2  wrong use, or a file or setting that cannot be used
  3  done, but some pictures could not be scored (the answer says why)"""


class _Parser(argparse.ArgumentParser):
    """argparse with one line an error, in place of the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message} (see: {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Errors that pqa knows end as one line on stderr."""
    # File names need not be text; what the terminal cannot show must not end the command.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    _quieten_codecs()
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except PqaError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader has left (`pqa rank ... | head`). Python's own flush at exit must not complain about it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        return _fail(str(MissingExtra(package, EXTRAS[package])))
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        print("pqa: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _quieten_codecs() -> None:
    """Of a damaged picture only its status is said, not what decoders think of it, with places in their own sources.

    What libpng and libtiff print by themselves stays: they have no setting, and stderr belongs to all threads.
    """
    # Read when cv2 is imported, here and in the processes of the service.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    warnings.filterwarnings("ignore", module=r"PIL\.")


def _fail(message: str) -> int:
    print("pqa:", plain(message.replace("\n", " ")), file=sys.stderr)
    return EXIT_USAGE


def _dispatch(argv: list[str]) -> int:
    if not argv:
        print(_help(), file=sys.stderr)
        return EXIT_USAGE
    first = argv[0]
    if first in ("-h", "--help"):
        print(_help())
        return EXIT_OK
    if first == "--version":
        print(f"pqa {pqa.__version__}")
        return EXIT_OK
    commands = _commands()
    if first.startswith("-"):
        raise ConfigurationError(f"expected a command before {first!r} (see: pqa --help)")
    if first not in commands:
        raise unknown_key(first, commands, "command")
    _refuse_foreign(commands[first])
    module = commands[first].load()
    parser = _Parser(
        prog=f"pqa {first}",
        description=_sentence(SUMMARIES.get(first, "")),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    try:
        args = parser.parse_args(argv[1:])
    except SystemExit:  # argparse has printed the help
        return EXIT_OK
    code: int = module.run(args)
    return code


def _commands() -> dict[str, EntryPoint]:
    found = {point.name: point for point in entry_points(group=GROUP)}
    if not found:
        raise ConfigurationError("pqa is not installed, so its commands are not registered; run: pip install -e .")
    order = [*SUMMARIES, *sorted(found.keys() - SUMMARIES.keys())]
    return {name: found[name] for name in order if name in found}


def _refuse_foreign(point: EntryPoint) -> None:
    """Raise ConfigurationError where Python's path leads to another package than the one that lies beside ours."""
    package = point.value.partition(".")[0]
    own = Path(pqa.__file__).parents[1] / package
    if not (own / "__init__.py").is_file():
        return
    spec = find_spec(package)
    if spec is None:
        return
    folders = list(spec.submodule_search_locations or ())
    if own.resolve() not in (Path(folder).resolve() for folder in folders):
        raise ConfigurationError(
            f"{spec.origin or folders[0]} stands before the package {package!r} that the command {point.name!r} needs; "
            "rename it, or leave its folder out of PYTHONPATH"
        )


def _sentence(summary: str) -> str:
    return f"{summary[:1].upper()}{summary[1:]}." if summary else ""


def _help() -> str:
    commands = _commands()
    width = max(map(len, commands))
    rows = [f"  {name:{width}}  {SUMMARIES.get(name, commands[name].value)}" for name in commands]
    return "\n".join(
        [
            "usage: pqa COMMAND [options]",
            "",
            "Portrait quality assessment: which shot of a scene do people prefer, and why.",
            "",
            "commands:",
            *rows,
            "",
            "options:",
            "  -h, --help  show this help; `pqa COMMAND --help` shows a command's own",
            "  --version   show the version",
            "",
            EXIT_CODES,
        ]
    )
