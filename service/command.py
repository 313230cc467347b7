"""`pqa serve`: the HTTP service of this package."""

from __future__ import annotations

import argparse
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pqa.errors import ModelError

if TYPE_CHECKING:
    from service.settings import Settings

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command. Everything else is set by variables or a file; docs/settings.md lists them."""
    parser.epilog = (
        "Every setting has a line in FILE and a PQA_... variable, see docs/settings.md; variables win over the file, "
        "these options over both."
    )
    parser.add_argument("--host", dest="http_host", help="address to listen on (PQA_HTTP_HOST, default 127.0.0.1)")
    parser.add_argument(
        "--port", dest="http_port", type=int, help="port, 0 for a free one (PQA_HTTP_PORT, default 8000)"
    )
    parser.add_argument("--workers", type=int, help="processes on the port (PQA_WORKERS, default 1)")
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
    parser.add_argument("--settings", type=Path, metavar="FILE", help="settings of a TOML file (PQA_SETTINGS_FILE)")
    parser.add_argument("--log-level", help="debug, info, warning or error (PQA_LOG_LEVEL, default info)")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Raises ModelError when the models cannot be served, OSError for a taken port."""
    from service import logs
    from service.server import listen
    from service.settings import Settings

    names = ("http_host", "http_port", "workers", "models", "allow_untrained", "log_level")
    given: dict[str, Any] = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    if "models" in given:
        given["models"] = tuple(given["models"])
    settings = Settings.read(file=getattr(args, "settings", None), **given)
    logs.configure(settings.log_level)
    with listen(settings.http_host, settings.http_port, settings.receive_timeout_s) as listener:
        host, port = listener.getsockname()[:2]
        logging.getLogger("pqa.service").info("listening", extra={"fields": {"host": host, "port": port}})
        if settings.workers > 1:
            from service.workers import Supervisor

            Supervisor(settings, listener).run()
        else:
            _serve(settings, listener)
    return 0


def _serve(settings: Settings, listener: socket.socket) -> None:
    """One process, this one."""
    from service.app import create_app
    from service.server import Server

    def stop() -> None:
        server.should_exit = True

    app = create_app(settings, on_failure=stop)
    server = Server(app, settings)
    server.run(sockets=[listener])
    failure = app.state.service.failure
    if failure is not None:
        raise ModelError(failure)
