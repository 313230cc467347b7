"""A client that a public generator makes of the OpenAPI document ranks a set as our own does."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.documents import documents
from service.settings import Settings
from tests.serving import serving

RANK = """
import io, sys
from pathlib import Path
from generated import Client
from generated.api.scoring import rank
from generated.models import RankFilesBody, Ranking
from generated.types import File

files = [File(io.BytesIO(path.read_bytes()), path.name, "image/jpeg") for path in map(Path, sys.argv[2:])]
body = RankFilesBody(images=files, model="tiny", attribute="detail")
ranking = rank.sync(client=Client(sys.argv[1]), body=body)
assert isinstance(ranking, Ranking), ranking
print(*ranking.groups[0].order, ranking.groups[0].ranking[0].score, sep="\\n")
broken = RankFilesBody(images=[File(io.BytesIO(b"no picture"), "a.jpg", "image/jpeg")])
problem = rank.sync(client=Client(sys.argv[1]), body=broken)
assert problem.type_.endswith("nothing-scored") and problem.unscored[0].id == "a.jpg", problem
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(documents()["service/openapi.json"])
    command = [
        "openapi-python-client",
        "generate",
        "--path",
        "openapi.json",
        "--output-path",
        "generated",
        "--meta",
        "none",
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    made = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    assert made.returncode == 0, made.stdout + made.stderr
    # It knows no form for the bare picture of /v1/score, and says so; nothing else is left out.
    assert re.findall(r"WARNING parsing (.+) within|Unsupported (.+)", made.stdout + made.stderr) == [
        ("POST /v1/score", ""),
        ("", "content type image/*"),
    ]
    return folder


def test_it_ranks_a_set_and_reads_problems(generated: Path, tiny_model: Path, portrait_set: Path) -> None:
    paths = sorted(portrait_set.glob("*.jpg"))
    with serving(Settings(models=(str(tiny_model),))) as live:
        address = f"http://127.0.0.1:{live.port}"
        command = [sys.executable, "-c", RANK, address, *map(str, paths)]
        run = subprocess.run(command, cwd=generated, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        files = [("images", (path.name, io.BytesIO(path.read_bytes()))) for path in paths]
        group = live.http.post("/rank", files=files, data={"attribute": "detail"}).json()["groups"][0]
    assert run.stdout.split() == [*group["order"], str(group["ranking"][0]["score"])]
