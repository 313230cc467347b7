"""Opening ONNX Runtime sessions: which build, which provider, how many threads."""

from __future__ import annotations

import importlib.metadata
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pqa import cancel
from pqa.errors import ConfigurationError, ModelError, unknown_key

__all__ = ["PROVIDERS", "available_cpus", "onnxruntime", "open_session"]

PROVIDERS: dict[str, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

LARGE = 128 * 2**20
"""Bytes of a model file above which ONNX Runtime gives memory back after each operation. Its arena doubles whenever it
grows and keeps everything: for large models gigabytes that nothing uses."""

BUILDS = ("onnxruntime", "onnxruntime-gpu")


def installed_builds() -> list[str]:
    """Names of the ONNX Runtime distributions installed here."""
    found = []
    for name in BUILDS:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(name)
    return found


def onnxruntime() -> Any:
    """The onnxruntime module.

    Raises ConfigurationError when no build is installed, and when both are: they overwrite each other's files, and
    which one answers is then a matter of luck.
    """
    builds = installed_builds()
    if len(builds) > 1:
        raise ConfigurationError(
            "both onnxruntime and onnxruntime-gpu are installed and overwrite each other; uninstall both, then "
            "install one of them: pip install 'pqa[cpu]' or pip install 'pqa[gpu]'"
        )
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at import; a picture tool has nothing to tell anybody
    try:
        import onnxruntime as module
    except ImportError as error:
        raise ConfigurationError(
            "onnxruntime is not installed; install one of its builds: pip install 'pqa[cpu]' or pip install 'pqa[gpu]'"
        ) from error
    return module


def available_cpus(root: Path = Path("/")) -> int:
    """Processors this process may use: the smallest of its affinity and the quotas of its cgroup and all above it, at least 1.

    `root`: where `proc` and `sys` are found.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([count, *(math.ceil(quota) for quota in _cpu_quotas(root))]))


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Processors that each cgroup around this process grants, of version 2 (`cpu.max`) and 1 (`cpu.cfs_quota_us`)."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    own = {"": "/", "cpu": "/"}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        own.update({controller: path for controller in controllers.split(",") if controller in own})
    groups = root / "sys/fs/cgroup"
    # In a container the path may be the host's, and what is mounted the container's own group: the last of the folders.
    for folder in _upwards(groups, own[""]):
        quota = _numbers(folder / "cpu.max")
        if len(quota) == 2:
            yield quota[0] / quota[1]
    for folder in _upwards(groups / "cpu", own["cpu"]):
        quota = _numbers(folder / "cpu.cfs_quota_us") + _numbers(folder / "cpu.cfs_period_us")
        if len(quota) == 2 and quota[0] > 0:
            yield quota[0] / quota[1]


def _upwards(groups: Path, path: str) -> list[Path]:
    """The folder of a cgroup and of all above it."""
    inside = PurePosixPath(path.lstrip("/"))
    # A group outside of what this process may see is written with "..".
    return [groups / part for part in (inside, *inside.parents) if ".." not in part.parts]


def _numbers(file: Path) -> list[int]:
    """The whole numbers of a file: none where it is not there, fewer where a word ("max") stands in their place."""
    try:
        return [int(word) for word in file.read_text().split() if word.lstrip("-").isdecimal()]
    except OSError:
        return []


def _stoppable(session: type) -> type:
    """The class of a session whose runs end where the work of their thread is cancelled (`pqa.cancel`)."""

    class Stoppable(session):  # type: ignore[misc]
        def run(self, output_names: Any, input_feed: Any, run_options: Any = None) -> Any:
            token = cancel.current()
            if token is None:
                return super().run(output_names, input_feed, run_options)
            options = run_options or onnxruntime().RunOptions()
            # What fails is raised; a run that is stopped would also be a line of its own on standard error.
            options.log_severity_level = 4
            # ONNX Runtime looks at the flag before each node of the graph.
            with token.stoppable(lambda: setattr(options, "terminate", True)):
                return super().run(output_names, input_feed, options)

    return Stoppable


def open_session(data: bytes, *, provider: str = "cpu", threads: int = 1, any_shape: bool = False) -> Any:
    """An `onnxruntime.InferenceSession` over the bytes of a model file.

    One intra-op thread is the default: pictures run side by side instead, and a picture's score cannot depend on how
    many threads summed it. `any_shape`: inputs come in ever new shapes; ONNX Runtime then keeps no memory for the shapes it
    has seen, which would add up. Raises ModelError for bytes that are no model, ConfigurationError for an unknown provider or
    one that ONNX Runtime silently left out.
    """
    ort = onnxruntime()
    if provider not in PROVIDERS:
        raise unknown_key(provider, PROVIDERS, "provider")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_cpu_mem_arena = len(data) <= LARGE and not any_shape
    options.enable_mem_pattern = not any_shape
    options.log_severity_level = 3
    wanted = PROVIDERS[provider]
    if wanted not in ort.get_available_providers():
        raise ConfigurationError(
            f"provider {provider!r} needs {wanted}, here are {', '.join(ort.get_available_providers())}; "
            "install 'pqa[gpu]' in place of 'pqa[cpu]' for CUDA"
        )
    if provider == "cuda" and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds the CUDA libraries that pip installed
    try:
        session = _stoppable(ort.InferenceSession)(data, options, providers=[wanted])
    except Exception as error:  # ONNX Runtime raises classes of its own that share no public base
        raise ModelError(f"not a model that ONNX Runtime can load: {str(error).splitlines()[0]}") from error
    if session.get_providers()[0] != wanted:
        raise ConfigurationError(
            f"ONNX Runtime fell back from {wanted} to {session.get_providers()[0]}; check its installation"
        )
    return session
