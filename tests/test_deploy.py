"""The files of deploy/ are well formed, and agree with the settings, the addresses and the image of the service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).parent.parent
PATHS = set(json.loads((ROOT / "service" / "openapi.json").read_text(encoding="utf-8"))["paths"])


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    documents = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8")))
    by_kind = {document["kind"]: document for document in documents}
    assert set(by_kind) == {"Deployment", "Service"}
    deployment, service = by_kind["Deployment"]["spec"], by_kind["Service"]["spec"]
    assert service["selector"] == deployment["selector"]["matchLabels"] == deployment["template"]["metadata"]["labels"]
    spec: dict[str, Any] = deployment["template"]["spec"]
    assert service["ports"][0]["targetPort"] in {port["name"] for port in spec["containers"][0]["ports"]}
    return spec


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    return document


def test_the_pod_is_told_to_go_before_it_is_made_to(pod: dict[str, Any]) -> None:
    """Settings.read also refuses a name or a value that the service would not take."""
    (container,) = pod["containers"]
    settings = Settings.read({row["name"]: row["value"] for row in container["env"] if "value" in row})
    assert pod["terminationGracePeriodSeconds"] > settings.drain_notice_s + settings.drain_s + 5
    readiness = container["readinessProbe"]
    assert settings.drain_notice_s > readiness["failureThreshold"] * (
        readiness["periodSeconds"] + readiness["timeoutSeconds"]
    )
    (secret,) = [row for row in container["env"] if "valueFrom" in row]
    assert Settings.read({secret["name"]: "0123456789abcdef"}).api_keys


def test_the_probes_ask_what_there_is(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    asked = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert asked == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    assert set(asked.values()) <= PATHS
    assert container["ports"][0]["containerPort"] == Settings().http_port


def test_the_pod_can_write_nowhere_and_is_nobody(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"]
    assert f"USER {pod['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert {"cpu", "memory"} == container["resources"]["limits"].keys() == container["resources"]["requests"].keys()


def test_compose_runs_the_service_and_a_prometheus_that_scrapes_it(compose: dict[str, Any]) -> None:
    pqa = compose["services"]["pqa"]
    settings = Settings.read(pqa["environment"])
    assert int(pqa["stop_grace_period"].removesuffix("s")) > settings.drain_notice_s + settings.drain_s + 5
    assert pqa["read_only"]
    assert pqa["cap_drop"] == ["ALL"]
    assert (ROOT / "deploy" / pqa["build"]["context"] / "Dockerfile").is_file()
    prometheus = yaml.safe_load(compose["configs"]["prometheus"]["content"])
    (target,) = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == f"pqa:{settings.http_port}"
    assert "/metrics" in PATHS
