"""Settings of the service: one frozen dataclass, read from a file and the environment, every row in docs/settings.md.

A variable `PQA_...` that no setting reads raises, with the nearest name: a misspelt limit must not go unnoticed. Left
alone are the client's `PQA_CLIENT_KEY` and the names that Kubernetes injects for a Service called `pqa`
(`PQA_SERVICE_...`, `PQA_PORT...`); for the same reason no setting is called `PQA_PORT`.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pqa.errors import ConfigurationError, unknown_key
from pqa.pixels.formats import FORMATS
from pqa.session import PROVIDERS, available_cpus
from pqa.structured import structured

__all__ = ["MIB", "PREFIX", "Settings", "table"]

PREFIX = "PQA_"
MIB = 1024 * 1024
FILE = "PQA_SETTINGS_FILE"
_OTHERS = ("PQA_SERVICE_", "PQA_PORT_")
KEY_LENGTH = 16
QUEUE = 8
"""Pictures that wait for each thread where nothing is set, if they are small: for large ones `queue_s` comes first."""

DRAINED = 0.8
"""The part of the time for draining that what is in work may need, as far as the pace of the last pictures tells."""

USUAL = ("AVIF", "HEIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What cameras and phones send; of further formats a service is better told that it may meet them."""

LOG_LEVELS = ("debug", "info", "warning", "error")


def _row(default: Any, help: str, low: float | None = None, *, secret: bool = False) -> Any:
    """A setting with its line of documentation and, for a number, the smallest value that makes sense."""
    return dataclasses.field(default=default, repr=not secret, metadata={"help": help, "low": low})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set. The variable of `max_images` is `PQA_MAX_IMAGES`, and so on."""

    http_host: str = _row("127.0.0.1", "address to listen on; 0.0.0.0 inside a container")
    http_port: int = _row(8000, "port to listen on; 0 takes a free one", 0)
    uds: str = _row("", "path of a Unix socket to listen on, in place of host and port")
    root_path: str = _row(
        "", "prefix under which a proxy serves this, as /pqa; addresses with it and without it are answered"
    )
    workers: int = _row(1, "processes on the port, each with models, queue, cache and limits of its own", 1)
    models: tuple[str, ...] = _row(("default",), "names or .onnx paths of the models to load, by commas; the first one "
                                   "answers requests that name none")  # fmt: skip
    models_dir: str = _row("", "folders with further .onnx files, separated like PATH")
    allow_untrained: bool = _row(False, "serve models that were exported without training")
    provider: str = _row("cpu", f"where models run: {' or '.join(PROVIDERS)}")
    faces: int = _row(1, "faces of a picture, largest first, that get a quality of their own; each costs up to a picture's "
                      "time", 1)  # fmt: skip
    decode_threads: int = _row(
        0, "threads of a process that decode pictures and find faces; 0: its share of the processors", 0
    )
    batch: int = _row(1, "pictures run together in the model; 1 keeps scores equal to the command line's to the last bit",
                      1)  # fmt: skip
    queue_pictures: int = _row(
        0, f"pictures waiting or in work above which new requests get 429; 0: {QUEUE} for each decode thread", 0
    )
    queue_s: float = _row(4.0, "time in which what is in work must be done, at the pace of the last pictures; above it new "
                          f"requests get 429, and never more is taken than {DRAINED:.0%} of PQA_DRAIN_S can do", 0)  # fmt: skip
    request_window: int = _row(8, "pictures of one request in work at once, of slow ones fewer: a third of what is done in "
                               "PQA_QUEUE_S; its upload waits for the rest", 1)  # fmt: skip
    upload_memory_mib: float = _row(256.0, "memory for bytes received and not yet scored, over all requests; above it "
                                    "the slowest upload is refused, or the last one", 1)  # fmt: skip
    connections: int = _row(1024, "connections of a process at once, silent ones included, and no more than its limit on open "
                            "files leaves room for; when all are taken, the longest silent one is closed for a new one, or the "
                            "new one gets 429", 1)  # fmt: skip
    client_share: float = _row(0.5, "part of PQA_CONNECTIONS that one address may have, and of PQA_UPLOAD_MEMORY_MIB that one "
                               "key, or else one address, may hold; 1 behind a proxy that PQA_TRUSTED_PROXIES does not name",
                               0.001)  # fmt: skip
    max_images: int = _row(256, "pictures sent in one request; named by hash, as many as PQA_CACHE_PICTURES", 1)
    max_file_mib: float = _row(30.0, "size of one picture's file", 0.001)
    max_request_mib: float = _row(1024.0, "size of one request", 0.001)
    max_json_mib: float = _row(64.0, "size of one JSON request, which is parsed as a whole; multipart streams", 0.001)
    max_megapixels: float = _row(50.0, "pixels of one picture, read from its header before decoding", 0.001)
    formats: tuple[str, ...] = _row(USUAL, "formats that are taken, by commas; "
                                    f"there are also {', '.join(sorted(FORMATS.difference(USUAL)))}")  # fmt: skip
    max_decode_mib: float = _row(256.0, "memory that one picture's file and its decoding may take, estimated from the header",
                                 0.001)  # fmt: skip
    picture_timeout_s: float = _row(60.0, "time from the arrival of a picture to its score", 0.001)
    receive_timeout_s: float = _row(
        30.0,
        "longest time for a head, longest pause in a body, and longest time in which a client reads nothing",
        0.001,
    )
    receive_kib_s: float = _row(8.0, "least speed of a body on average, in KiB a second; clients may be "
                                "PQA_RECEIVE_TIMEOUT_S behind it", 0.001)  # fmt: skip
    drain_notice_s: float = _row(1.0, "after SIGTERM: time with /readyz at 503 before the port is closed", 0)
    drain_s: float = _row(25.0, "after that: time for requests in flight to finish", 0)
    cache_pictures: int = _row(4096, "predictions kept, so that JSON requests can name pictures by their sha256", 0)
    api_keys: tuple[str, ...] = _row((), f"keys by commas, each of at least {KEY_LENGTH} printable ASCII characters, one of "
                                     "which clients must send as `Authorization: Bearer KEY`; none: everybody may ask",
                                     secret=True)  # fmt: skip
    client_requests: int = _row(
        64, "requests for scores that one key, or else one address, may have in work at once", 1
    )
    trusted_proxies: tuple[str, ...] = _row(
        (),
        "addresses or networks of proxies, by commas, whose X-Forwarded-For is "
        "believed and whose connections are bounded by PQA_CONNECTIONS alone",
    )
    cors_origins: tuple[str, ...] = _row(
        (), "origins of web pages, by commas, that may read answers: https://example.org"
    )
    trace_endpoint: str = _row("", "where spans are sent, by OTLP over HTTP, as http://collector:4318/v1/traces; none: "
                               "nothing is traced")  # fmt: skip
    log_level: str = _row("info", f"least level that is logged: {', '.join(LOG_LEVELS)}")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            low, value = field.metadata["low"], getattr(self, field.name)
            if low is not None and not low <= value < float("inf"):
                raise ConfigurationError(f"{_variable(field.name)} must be at least {low} and finite, got {value}")
        if self.http_port > 65535:
            raise ConfigurationError(f"PQA_HTTP_PORT must be at most 65535, got {self.http_port}")
        if self.client_share > 1:
            raise ConfigurationError(f"PQA_CLIENT_SHARE must be at most 1, got {self.client_share}")
        if self.provider not in PROVIDERS:
            raise unknown_key(self.provider, PROVIDERS, "value of PQA_PROVIDER")
        if self.log_level not in LOG_LEVELS:
            raise unknown_key(self.log_level, LOG_LEVELS, "value of PQA_LOG_LEVEL")
        for name in self.formats:
            if name not in FORMATS:
                raise unknown_key(name, FORMATS, "format in PQA_FORMATS")
        if not self.models:
            raise ConfigurationError("PQA_MODELS must name at least one model, got none")
        if short := sum(len(key) < KEY_LENGTH for key in self.api_keys):
            raise ConfigurationError(f"PQA_API_KEYS: {short} keys are shorter than {KEY_LENGTH} characters")
        for address in self.trusted_proxies:
            try:
                ipaddress.ip_network("0.0.0.0" if address == "*" else address, strict=False)
            except ValueError as error:
                raise ConfigurationError(
                    f"PQA_TRUSTED_PROXIES: expected addresses, networks as 10.0.0.0/8, or *, got {address!r}"
                ) from error
        if odd := sum(not re.fullmatch(r"[!-~]+", key) for key in self.api_keys):
            raise ConfigurationError(
                f"PQA_API_KEYS: {odd} keys have characters that no client can send in a header; expected printable ASCII "
                "without spaces, as of: openssl rand -hex 24"
            )
        if self.root_path and not re.fullmatch(r"(/[\w.~-]+)+", self.root_path, re.ASCII):
            raise ConfigurationError(
                f"PQA_ROOT_PATH: expected a path as /pqa, without a / at its end, got {self.root_path!r}"
            )
        for origin in self.cors_origins:
            if not re.fullmatch(r"https?://[^/]+", origin):
                raise ConfigurationError(
                    f"PQA_CORS_ORIGINS: expected https://host or https://host:port, got {origin!r}"
                )

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None, *, file: Path | None = None, **overrides: Any) -> Settings:
        """Settings of `file` (or of `PQA_SETTINGS_FILE`), then of variables, then `overrides`; each wins over the last.

        Raises ConfigurationError for names that nothing reads and for values that are not taken.
        """
        environ = os.environ if environ is None else environ
        if file is None and environ.get(FILE):
            file = Path(environ[FILE])
        values = {} if file is None else _of_file(file)
        fields = {_variable(field.name): field for field in dataclasses.fields(cls)}
        for key, text in environ.items():
            if not key.startswith(PREFIX) or key.startswith(_OTHERS) or key in ("PQA_PORT", "PQA_CLIENT_KEY", FILE):
                continue
            if key not in fields:
                raise unknown_key(key, fields, "setting")
            values[fields[key].name] = _parse(key, text, type(fields[key].default))
        return cls(**{**values, **overrides})

    @property
    def max_file_bytes(self) -> int:
        return int(self.max_file_mib * MIB)

    @property
    def max_request_bytes(self) -> int:
        return int(self.max_request_mib * MIB)

    @property
    def upload_bytes(self) -> int:
        return int(self.upload_memory_mib * MIB)

    @property
    def most_pictures(self) -> int:
        """Pictures of one ranking: more than are remembered cannot all be known."""
        return max(self.max_images, self.cache_pictures)

    @property
    def max_json_bytes(self) -> int:
        return int(min(self.max_json_mib, self.max_request_mib) * MIB)

    @property
    def folders(self) -> list[Path]:
        return [Path(part) for part in self.models_dir.split(os.pathsep) if part]

    @property
    def decoders(self) -> int:
        return self.decode_threads or max(1, available_cpus() // self.workers)

    @property
    def queue(self) -> int:
        """Pictures that may wait or be in work in a process."""
        return self.queue_pictures or QUEUE * self.decoders

    @property
    def queue_seconds(self) -> float:
        """Time in which the pictures in work must be done: none is taken that SIGTERM would lose."""
        return min(self.queue_s, DRAINED * self.drain_s)


def _of_file(path: Path) -> dict[str, Any]:
    """The settings of a TOML file: `max_images = 100`, one a line, lists for what variables separate by commas."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: the settings cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # Without what it says: it may quote a key.
        raise ConfigurationError(f"{path}: expected TOML, one setting a line: max_images = 100") from error
    settings = structured(Settings, raw, str(path))
    return {name: getattr(settings, name) for name in raw}


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _parse(key: str, text: str, kind: type) -> Any:
    """The text of a variable as a value of `kind`, the type of the setting's default."""
    text = text.strip()
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise ConfigurationError(f"{key} must be true or false, got {text!r}")
        return text.lower() in ("true", "1")
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigurationError(f"{key} must be {kind.__name__}, got {text!r}") from error


def table() -> str:
    """The rows of docs/settings.md."""
    lines = ["| variable | default | what it sets |", "|---|---|---|"]
    for field in dataclasses.fields(Settings):
        default = ",".join(field.default) if isinstance(field.default, tuple) else str(field.default).lower()
        lines.append(
            f"| `{_variable(field.name)}` | {f'`{default}`' if default else 'none'} | {field.metadata['help']} |"
        )
    return "\n".join(lines) + "\n"
