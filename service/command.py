"""`pqa serve`: the HTTP service of this package."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pqa.errors import ConfigurationError, ModelError

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
    parser.add_argument("--uds", metavar="PATH", help="Unix socket to listen on, in place of a port (PQA_UDS)")
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
    """Serve until SIGTERM or SIGINT.

    Raises ConfigurationError for a wrong setting or an address that cannot be listened on, ModelError when the models cannot
    be served; ModelNotFound before the port is open.
    """
    # First of all: nothing is loaded that a reload could load anew, and by itself SIGHUP ends the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from pqa.runtime.store import ModelStore
    from service import logs
    from service.settings import Settings

    names = ("http_host", "http_port", "uds", "workers", "models", "allow_untrained", "log_level")
    given: dict[str, Any] = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    if "models" in given:
        given["models"] = tuple(given["models"])
    settings = Settings.read(file=getattr(args, "settings", None), **given)
    logs.configure(settings.log_level)
    store = ModelStore(settings.folders)
    for name in settings.models:
        store.find(name)
    with _listener(settings) as listener:
        logging.getLogger("pqa.service").info("listening", extra={"fields": _address(listener)})
        if settings.workers > 1:
            from service.workers import Supervisor

            Supervisor(settings, listener).run()
        else:
            _serve(settings, listener)
    return 0


@contextlib.contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    """The listening socket of the settings. Raises ConfigurationError for an address that cannot be listened on."""
    from service.server import listen, listen_unix

    where = settings.uds or f"port {settings.http_port} of {settings.http_host}"
    try:
        if settings.uds:
            listener = listen_unix(settings.uds)
        else:
            listener = listen(settings.http_host, settings.http_port, settings.receive_timeout_s)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"{where} is in use by another process; stop that one, or take another with --port (0: a free one)"
            ) from error
        raise ConfigurationError(f"{where} cannot be listened on: {error.strerror}") from error
    with listener:
        try:
            yield listener
        finally:
            if settings.uds:
                Path(settings.uds).unlink(missing_ok=True)


def _address(listener: socket.socket) -> dict[str, object]:
    if listener.family == socket.AF_UNIX:
        return {"uds": listener.getsockname()}
    host, port = listener.getsockname()[:2]
    return {"host": host, "port": port}


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
