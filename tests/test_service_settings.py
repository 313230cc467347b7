"""Settings of the service: every row can be set, nothing is misread in silence."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pqa.errors import ConfigurationError
from service.settings import Settings, table


def test_defaults_need_no_environment() -> None:
    assert Settings.from_environment({}) == Settings()


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_every_setting_can_be_set_and_is_documented(field: dataclasses.Field) -> None:  # type: ignore[type-arg]
    """No row is dead: a value other than the default comes through."""
    texts = {str: "error" if field.name == "log_level" else "cuda" if field.name == "provider" else "elsewhere"}
    text = {**texts, bool: "true", tuple: "a, b", int: "7", float: "2.5"}[type(field.default)]
    variable = "PQA_" + field.name.upper()
    value = getattr(Settings.from_environment({variable: text}), field.name)
    assert value != field.default
    assert type(value) is type(field.default)
    assert f"| `{variable}` |" in table()


def test_options_win_over_the_environment() -> None:
    assert Settings.from_environment({"PQA_HTTP_PORT": "1"}, http_port=2).http_port == 2


def test_unknown_variable_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'PQA_MAX_IMAGES'"):
        Settings.from_environment({"PQA_MAX_IMAGE": "3"})


def test_variables_of_others_are_left_alone() -> None:
    injected = {"PQA_SERVICE_HOST": "10.0.0.1", "PQA_PORT": "tcp://10.0.0.1:80", "PQA_PORT_80_TCP": "x", "PATH": "/bin"}
    assert Settings.from_environment(injected) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("PQA_HTTP_PORT", "eighty", "PQA_HTTP_PORT must be int"),
        ("PQA_HTTP_PORT", "70000", "at most 65535"),
        ("PQA_HTTP_PORT", "-1", "at least 0"),
        ("PQA_MAX_IMAGES", "0", "at least 1"),
        ("PQA_MAX_FILE_MIB", "inf", "finite"),
        ("PQA_MAX_FILE_MIB", "nan", "finite"),
        ("PQA_ALLOW_UNTRAINED", "maybe", "true or false"),
        ("PQA_PROVIDER", "cpus", "did you mean 'cpu'"),
        ("PQA_LOG_LEVEL", "loud", "unknown value of PQA_LOG_LEVEL"),
        ("PQA_MODELS", " , ", "at least one model"),
    ],
)
def test_bad_values_say_what_was_expected(variable: str, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Settings.from_environment({variable: text})


def test_folders_are_split_like_path(tmp_path: Path) -> None:
    import os

    assert Settings(models_dir=f"{tmp_path}{os.pathsep}/else").folders == [tmp_path, Path("/else")]
