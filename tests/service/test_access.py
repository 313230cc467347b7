"""Keys, the share of one client, proxies, and web pages of other origins: over a real socket."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from pqa.client import Client
from pqa.errors import ServiceError
from service.access import Clients, Keys
from service.problems import Problem
from service.settings import Settings
from tests.serving import hold, problem, serving

KEYS = ("first-key-0123456789", "second-key-0123456789")
PAGE = "https://photos.example"


def test_only_with_a_key_where_keys_are_set(tiny_model: Path, astronaut: bytes) -> None:
    files = [("images", ("a", astronaut))]
    with serving(Settings(models=(str(tiny_model),), api_keys=KEYS)) as live:
        for method, path in (("POST", "/rank"), ("POST", "/score"), ("GET", "/models")):
            none = live.http.request(method, path, files=files)
            problem(none, 401, "unauthorised")
            assert none.headers["www-authenticate"] == "Bearer"
            for wrong in ("Bearer first-key", f"Bearer {KEYS[0]}x", "bearer é"):
                answer = live.http.request(method, path, files=files, headers={"Authorization": wrong.encode()})
                problem(answer, 403, "forbidden")
            problem(live.http.request(method, path, headers={"Authorization": f"Basic {KEYS[0]}"}), 401, "unauthorised")
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert live.http.get(path).status_code == 200
        for key in KEYS:
            assert live.http.get("/models", headers={"Authorization": f"bearer {key}"}).status_code == 200
        url = f"http://127.0.0.1:{live.port}"
        with Client(url, api_key=KEYS[1]) as client:
            assert client.rank([astronaut]).groups
        with Client(url) as client, pytest.raises(ServiceError, match="401"):
            client.rank([astronaut])


def test_keys_name_their_owner_and_not_themselves() -> None:
    keys = Keys(KEYS)
    first, second = (keys.check(f"Bearer {key}") for key in KEYS)
    assert first
    assert second
    assert first != second
    assert KEYS[0] not in first
    assert Keys(()).check("") is None


def test_a_client_has_its_places_and_no_more() -> None:
    clients = Clients(2)
    with (
        clients.place("a"),
        clients.place("a"),
        clients.place("b"),
        pytest.raises(Problem, match="2 requests of yours"),
        clients.place("a"),
    ):
        pass
    with clients.place("a"):
        pass
    assert len(clients) == 0


def test_one_client_cannot_take_all_places(tiny_model: Path, astronaut: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(models=(str(tiny_model),), client_requests=1, trusted_proxies=("127.0.0.1",))
    with serving(settings) as live:
        arrived, go = hold(live, monkeypatch)
        answers: dict[str, Any] = {}

        def post(address: str) -> None:
            headers = {"X-Forwarded-For": address}
            answers[address] = live.http.post("/score", files=[("images", ("a", astronaut))], headers=headers)

        first = threading.Thread(target=post, args=("192.0.2.1",))
        first.start()
        assert arrived.wait(20)
        second = live.http.post(
            "/score", files=[("images", ("a", astronaut))], headers={"X-Forwarded-For": "192.0.2.1"}
        )
        assert "of yours" in problem(second, 429, "busy")["detail"]
        other = threading.Thread(target=post, args=("192.0.2.2",))
        other.start()
        go.set()
        first.join()
        other.join()
        assert [answer.status_code for answer in answers.values()] == [200, 200]
        assert len(live.state.clients) == 0
        assert 'pqa_rejections_total{reason="client"} 1.0' in live.http.get("/metrics").text


def test_nobody_but_a_trusted_proxy_speaks_for_others(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    with serving(Settings(models=(str(tiny_model),))) as live:
        original = live.state.clients.place
        monkeypatch.setattr(live.state.clients, "place", lambda name: (seen.append(name), original(name))[1])
        live.http.post("/score", files=[("images", ("a", b""))], headers={"X-Forwarded-For": "192.0.2.1"})
    assert seen == ["127.0.0.1"]


def test_pages_of_other_origins_are_kept_away_unless_named(tiny_model: Path, astronaut: bytes) -> None:
    ask = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    with serving(Settings(models=(str(tiny_model),))) as live:
        assert "access-control-allow-origin" not in live.http.get("/models", headers={"Origin": PAGE}).headers
        problem(live.http.options("/rank", headers=ask), 405, "method-not-allowed")
    with serving(Settings(models=(str(tiny_model),), cors_origins=(PAGE,), api_keys=KEYS)) as live:
        preflight = live.http.options("/rank", headers=ask)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == PAGE
        assert "Authorization" in preflight.headers["access-control-allow-headers"]
        refused = live.http.post("/rank", files=[("images", ("a", astronaut))], headers={"Origin": PAGE})
        problem(refused, 401, "unauthorised")
        assert refused.headers["access-control-allow-origin"] == PAGE
        assert refused.headers["vary"] == "Origin"
        for stranger in ("https://photos.example.org", "http://photos.example", "null"):
            answer = live.http.options("/rank", headers={**ask, "Origin": stranger})
            problem(answer, 405, "method-not-allowed")
            assert "access-control-allow-origin" not in answer.headers


def test_a_prefix_of_a_proxy_is_part_of_the_address_or_not(tiny_model: Path, astronaut: bytes) -> None:
    """Some proxies cut it off, some do not; the document names it either way."""
    files = [("images", ("a", astronaut))]
    with serving(Settings(models=(str(tiny_model),), root_path="/pqa")) as live:
        bare, prefixed = (live.http.post(path, files=files) for path in ("/score", "/pqa/score"))
        assert bare.status_code == prefixed.status_code == 200
        assert bare.json()["scores"] == prefixed.json()["scores"]
        servers = live.http.get("/pqa/openapi.json").json()["servers"]
        assert [server["url"] for server in servers] == ["/pqa"]
        problem(live.http.get("/pqa/pqa/score"), 404, "not-found")
        text = live.http.get("/metrics").text
        assert 'pqa_responses_total{route="/score",status="2xx"} 2.0' in text
