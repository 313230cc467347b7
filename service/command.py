"""`pqa serve`: the HTTP service of this package."""

from __future__ import annotations

import argparse
import sys
from typing import Any

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command. Everything else is set by variables; docs/settings.md lists them."""
    parser.description = "Serve POST /rank and POST /score over HTTP. Options win over the PQA_... variables."
    parser.add_argument("--host", dest="http_host", help="address to listen on (PQA_HTTP_HOST, default 127.0.0.1)")
    parser.add_argument(
        "--port", dest="http_port", type=int, help="port, 0 for a free one (PQA_HTTP_PORT, default 8000)"
    )
    parser.add_argument(
        "--model",
        dest="models",
        action="append",
        help="name or .onnx path of a model to load; repeat it for more, the first one is the default (PQA_MODELS)",
    )
    parser.add_argument(
        "--allow-untrained",
        action="store_true",
        default=None,
        help="serve models that were exported without training (PQA_ALLOW_UNTRAINED)",
    )
    parser.add_argument("--log-level", help="debug, info, warning or error (PQA_LOG_LEVEL, default info)")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. 0 after a clean end, 1 when the models cannot be served."""
    from service import logs
    from service.app import create_app
    from service.server import Server
    from service.settings import Settings

    names = ("http_host", "http_port", "models", "allow_untrained", "log_level")
    given: dict[str, Any] = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    if "models" in given:
        given["models"] = tuple(given["models"])
    settings = Settings.from_environment(**given)
    logs.configure(settings.log_level)

    def stop() -> None:
        server.should_exit = True

    app = create_app(settings, on_failure=stop)
    server = Server(app, settings)
    server.run()
    failure = app.state.service.failure
    if failure is not None:
        print(f"pqa serve: {failure}", file=sys.stderr)
    return 1 if failure is not None or not server.started else 0
