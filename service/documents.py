"""Writes the documents that are made from code: `python -m service.documents [ROOT]`. A test compares them.

| file | made from |
|---|---|
| docs/settings.md | `service.settings` |
| service/openapi.json | the routes of `service.app` |
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from service import settings
from service.app import create_app

__all__ = ["documents"]

_SETTINGS = """# Settings of the service

`pqa serve` reads these variables. A TOML file (`--settings FILE` or `PQA_SETTINGS_FILE`) may hold the same settings
without `PQA_` and in small letters, as `max_images = 100` or `models = ["default", "/models/mine.onnx"]`. Variables win
over the file, and the options `--host`, `--port`, `--uds`, `--workers`, `--model`, `--allow-untrained` and `--log-level`
over both. An unknown name is an error that names the nearest known one. Left alone are `PQA_CLIENT_KEY`, which the client
reads, and `PQA_SERVICE_...` and `PQA_PORT...`, which Kubernetes injects for a Service called `pqa`. Sizes are in MiB
(1,048,576 bytes), megapixels are 1,000,000 pixels, times are in seconds.

{table}
Made by `python -m service.documents`.
"""


def documents() -> dict[str, str]:
    """Path from the root of the repository, and what the file must hold."""
    openapi = create_app(settings.Settings()).openapi()
    return {
        "docs/settings.md": _SETTINGS.format(table=settings.table()),
        "service/openapi.json": json.dumps(openapi, indent=1, ensure_ascii=False) + "\n",
    }


def main(root: Path) -> None:
    for name, text in documents().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
