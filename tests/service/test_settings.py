"""Settings of the service: every row can be set, nothing is misread in silence."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pqa import session
from pqa.errors import ConfigurationError
from service import settings
from service.settings import Settings, table


def test_defaults_need_no_environment() -> None:
    assert Settings.read({}) == Settings()


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_every_setting_can_be_set_and_is_documented(field: dataclasses.Field) -> None:
    """No row is dead: a value other than the default comes through."""
    texts = {str: "error" if field.name == "log_level" else "cuda" if field.name == "provider" else "elsewhere"}
    texts[str] = "/pqa" if field.name == "root_path" else texts[str]
    lists = {
        "api_keys": "0123456789abcdef",
        "cors_origins": "https://a.org,http://b:1",
        "formats": "JPEG, RAW",
        "trusted_proxies": "10.0.0.1, 10.1.0.0/16, *",
    }
    number = "0.25" if field.name == "client_share" else "2.5"
    text = {**texts, bool: "true", tuple: lists.get(field.name, "a, b"), int: "7", float: number}[type(field.default)]
    variable = "PQA_" + field.name.upper()
    value = getattr(Settings.read({variable: text}), field.name)
    assert value != field.default
    assert type(value) is type(field.default)
    assert f"| `{variable}` |" in table()


def test_options_win_over_the_environment() -> None:
    assert Settings.read({"PQA_HTTP_PORT": "1"}, http_port=2).http_port == 2


def test_a_file_sets_what_no_variable_and_no_option_sets(tmp_path: Path) -> None:
    file = tmp_path / "pqa.toml"
    file.write_text('max_images = 3\nmax_file_mib = 2\nmodels = ["a", "b"]\nallow_untrained = true\nbatch = 2\n')
    environ = {"PQA_SETTINGS_FILE": str(file), "PQA_MAX_IMAGES": "4", "PQA_BATCH": "4"}
    expected = Settings(max_images=4, max_file_mib=2.0, models=("a", "b"), allow_untrained=True, batch=5)
    assert Settings.read(environ, batch=5) == expected
    other = tmp_path / "other.toml"
    other.write_text("")
    assert Settings.read({"PQA_SETTINGS_FILE": str(file)}, file=other) == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_image = 3", "did you mean 'max_images'"),
        ("max_images = '3'", "max_images: expected int, got str"),
        ("models = 'a'", "models: expected a list"),
        ("max_images = 0", "at least 1"),
        ("api_keys = [secret", "expected TOML"),
    ],
)
def test_a_wrong_file_says_what_was_expected(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "pqa.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        Settings.read({}, file=file)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        Settings.read({}, file=tmp_path / "none.toml")


def test_keys_show_nowhere() -> None:
    assert "0123456789abcdef" not in repr(Settings(api_keys=("0123456789abcdef",)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"client_share": 1.5}, "at most 1, got 1.5"),
        ({"trusted_proxies": ("proxy",)}, "expected addresses, .* 'proxy'"),
    ],
)
def test_values_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Settings(**given)


def test_unknown_variable_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'PQA_MAX_IMAGES'"):
        Settings.read({"PQA_MAX_IMAGE": "3"})


def test_variables_of_others_are_left_alone() -> None:
    injected = {"PQA_SERVICE_HOST": "10.0.0.1", "PQA_PORT": "tcp://10.0.0.1:80", "PQA_PORT_80_TCP": "x", "PATH": "/bin",
                "PQA_CLIENT_KEY": "k"}  # fmt: skip
    assert Settings.read(injected) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("PQA_HTTP_PORT", "eighty", "PQA_HTTP_PORT must be int"),
        ("PQA_HTTP_PORT", "70000", "at most 65535"),
        ("PQA_HTTP_PORT", "-1", "at least 0"),
        ("PQA_MAX_IMAGES", "0", "at least 1"),
        ("PQA_FORMATS", "JPEG,GIFF", "did you mean 'GIF'"),
        ("PQA_MAX_FILE_MIB", "inf", "finite"),
        ("PQA_MAX_FILE_MIB", "nan", "finite"),
        ("PQA_ALLOW_UNTRAINED", "maybe", "true or false"),
        ("PQA_PROVIDER", "cpus", "did you mean 'cpu'"),
        ("PQA_LOG_LEVEL", "loud", "unknown value of PQA_LOG_LEVEL"),
        ("PQA_MODELS", " , ", "at least one model"),
        ("PQA_API_KEYS", "0123456789abcdef,short", "1 keys are shorter"),
        ("PQA_API_KEYS", "schlüssel-mit-umlaut", "1 keys have characters that no client can send"),
        ("PQA_API_KEYS", "a key with spaces in it", "expected printable ASCII"),
        ("PQA_ROOT_PATH", "pqa", "expected a path as /pqa"),
        ("PQA_ROOT_PATH", "/pqa/", "without a / at its end"),
        ("PQA_CORS_ORIGINS", "*", "expected https://host"),
        ("PQA_CORS_ORIGINS", "https://a.org/page", "expected https://host"),
    ],
)
def test_bad_values_say_what_was_expected(variable: str, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Settings.read({variable: text})


def test_folders_are_split_like_path(tmp_path: Path) -> None:
    import os

    assert Settings(models_dir=f"{tmp_path}{os.pathsep}/else").folders == [tmp_path, Path("/else")]


GROUPS: dict[str, tuple[dict[str, str], int]] = {
    "none": ({}, 8),
    "version 2, at the top": ({"cpu.max": "150000 100000"}, 2),
    "half a processor": ({"cpu.max": "50000 100000"}, 1),
    "no limit": ({"cpu.max": "max 100000"}, 8),
    "nested, tighter below": (
        {"cpu.max": "max 100000", "a/cpu.max": "600000 100000", "a/b/cpu.max": "300000 100000"},
        3,
    ),
    "nested, tighter above": ({"a/cpu.max": "200000 100000", "a/b/cpu.max": "600000 100000"}, 2),
    "somebody else's": ({"c/cpu.max": "100000 100000"}, 8),
    "version 1": ({"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"}, 3),
    "version 1, of the container": ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "50000"}, 1),
    "version 1, no limit": ({"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
}


@pytest.mark.parametrize(("files", "cpus"), GROUPS.values(), ids=GROUPS)
def test_threads_follow_affinity_and_every_quota(
    files: dict[str, str], cpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`proc` and `sys` of a process in the group /a/b of version 2, or /a of version 1."""
    monkeypatch.setattr(session.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    first = next(iter(files), "")
    own = "4:memory:/z\n3:cpu,cpuacct:/a\n0::/\n" if first.startswith("cpu/") else "0::/a/b\n"
    for name, text in {
        "proc/self/cgroup": own,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert session.available_cpus(tmp_path) == cpus


def test_a_system_without_groups_has_the_processors_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    assert session.available_cpus(tmp_path) == 3
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/../../other\n")
    assert session.available_cpus(tmp_path) == 3


def test_decode_threads_are_a_share_of_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "available_cpus", lambda: 6)
    assert Settings().decoders == 6
    assert Settings(workers=4).decoders == 1
    assert Settings(workers=2, decode_threads=5).decoders == 5
