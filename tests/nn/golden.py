"""`python -m tests.nn.golden`: keep what every tiny model of the zoo makes of one fixed input, for this platform.

Weights and inputs are uniform draws of numpy's PCG64, the same to the bit everywhere. The models run in a process of
their own, on one thread, held to code paths that every x86-64 processor with AVX2 has (`PINNED`, and convolutions without
oneDNN, whose sums depend on the size of caches): what is left to decide the last bit is named by `platform`. `KEPT` has
one entry a platform; the command puts this one's in place of an older one, beside those of others that still hold.
"""

from __future__ import annotations

import argparse
import json
import os
import platform as machine
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pqa import nn

COMMAND = "python -m tests.nn.golden"
KEPT = Path(__file__).with_name("golden.json")
ROOT = Path(__file__).parents[2]
PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
PICTURES = 2
LOOSE = 1e-5
"""Between platforms, of an output's largest value. Other kernels (AVX-512, oneDNN, two threads) differ by up to 5e-7 of it."""


def platform() -> dict[str, str]:
    """What decides the last bit of `outputs`."""
    return {
        "machine": machine.machine(),
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "blas": "mkl" if torch.backends.mkl.is_available() else "other",
        **{key.lower(): os.environ.get(key, "") for key in PINNED},
    }


def outputs(name: str) -> dict[str, np.ndarray]:
    """The tiny model's outputs for `PICTURES` pictures, the second without a face; float32."""
    rng = np.random.default_rng(sum(name.encode()))
    torch.manual_seed(0)
    model = nn.build(name, "tiny").eval()

    def uniform(shape: tuple[int, ...], bound: float) -> torch.Tensor:
        return torch.from_numpy(np.asarray((2 * rng.random(shape) - 1) * bound, np.float32))

    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            if parameter.ndim > 1:  # He et al. 2015: signals neither die out nor grow from layer to layer
                parameter.copy_(uniform(parameter.shape, (6 / parameter[0].numel()) ** 0.5))
            else:
                parameter.add_(uniform(parameter.shape, 0.1))
        views = []
        for view in model.views:
            shape = view.size if len(view.size) == 1 else (*([view.crops] if view.crops > 1 else []), 3, *view.size)
            values = uniform((PICTURES, *shape), 2.0)
            if view.kind == "face_geometry":
                values = values.abs() / 2
                values[:, 0] = torch.arange(PICTURES, 0, -1) % 2
            views.append(values)
        return {key: value.numpy() for key, value in zip(model.outputs, model(*views), strict=True)}


def here(threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    torch.backends.mkldnn.enabled = False
    made = {name: {key: _text(value) for key, value in outputs(name).items()} for name in sorted(nn.MODELS)}
    return {"platform": platform(), "outputs": made}


def _text(values: np.ndarray) -> Any:
    """Nested lists of the shortest decimals that read back to the same float32."""
    return [_text(row) for row in values] if values.ndim else str(values)


def made(threads: int = 1) -> dict[str, Any]:
    """`here` in a process of its own under `PINNED`: its "platform" and "outputs", model to output to nested lists."""
    command = [sys.executable, "-m", "tests.nn.golden", "--here", str(threads)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **PINNED}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def kept() -> list[dict[str, Any]]:
    return json.loads(KEPT.read_text())


def same_platform(entries: list[dict[str, Any]], platform: dict[str, str]) -> dict[str, Any] | None:
    return next((entry for entry in entries if entry["platform"] == platform), None)


def apart(entry: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Outputs of `new` that the entry lacks or has further away than `LOOSE`, as "model.output"."""
    found = []
    for name, outputs in new["outputs"].items():
        for key, values in outputs.items():
            old = np.asarray(entry["outputs"].get(name, {}).get(key, []), float)
            values = np.asarray(values, float)
            if old.shape != values.shape or not np.abs(values - old).max() <= LOOSE * np.abs(old).max():
                found.append(f"{name}.{key}")
    return found


def complaint(entries: list[dict[str, Any]], platform: dict[str, str], *, ci: bool) -> str:
    """Why a run guards no last bit where it should; empty where all is well."""
    if not ci or same_platform(entries, platform):
        return ""
    return (
        f"outputs of the zoo were compared to the bit nowhere: {KEPT.name} has no entry for {platform}. "
        f"From a commit whose models are known to be right, add one: {COMMAND}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--here", type=int, metavar="THREADS", help="only print, made in this process")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(here(args.here)))
        return
    new = made()
    others = [entry for entry in kept() if entry["platform"] != new["platform"] and not apart(entry, new)]
    entries = sorted([*others, new], key=lambda entry: json.dumps(entry["platform"]))
    KEPT.write_text(json.dumps(entries, indent=1) + "\n")
    print(f"{KEPT.relative_to(ROOT)}: {len(entries)} platforms, this one {new['platform']}")


if __name__ == "__main__":
    main()
