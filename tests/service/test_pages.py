"""The pages for people in a real browser: what they show is the answer of the service, and nothing comes from elsewhere."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from service.pages import FILES
from service.settings import Settings
from tests.browser import Watched, chromium, watched
from tests.serving import Live, problem, serving, wait_for

__all__ = ["chromium"]

VENDOR = files("service").joinpath("static", "vendor", "swagger-ui")


@pytest.fixture(scope="module")
def live(tiny_model: Path) -> Iterator[Live]:
    with serving(Settings(models=(str(tiny_model),))) as live:
        yield live


@pytest.fixture
def page(chromium: Browser, live: Live) -> Iterator[Watched]:
    watching = watched(chromium, f"http://127.0.0.1:{live.port}/")
    yield watching
    watching.page.context.close()


def test_dropped_pictures_are_shown_in_the_order_of_the_service(page: Watched, live: Live, portrait_set: Path) -> None:
    paths = sorted(portrait_set.glob("*.jpg"))
    group = live.http.post("/rank", files=[("images", (path.name, path.read_bytes())) for path in paths]).json()[
        "groups"
    ][0]
    page.page.goto(page.home)
    page.page.set_input_files("#files", paths)
    page.page.wait_for_selector(".card")
    assert page.page.locator(".name span").all_text_contents() == group["order"]
    scores = [f"{row['score']:.2f} ± {row['score_std']:.2f}" for row in group["ranking"]]
    assert page.page.locator(".score span:first-child").all_text_contents() == scores
    assert page.page.locator(".band").count() == len({row["tie_group"] for row in group["ranking"]})
    assert page.page.locator(".face").count() == sum(bool(row["faces"]) for row in group["ranking"])
    wait_for(lambda: page.page.evaluate("[...document.images].every(image => image.naturalWidth > 0)"))
    page.check()


def test_another_attribute_ranks_anew(page: Watched, live: Live, portrait_set: Path) -> None:
    paths = sorted(portrait_set.glob("*.jpg"))
    asked = {"files": [("images", (path.name, path.read_bytes())) for path in paths], "data": {"attribute": "exposure"}}
    order = live.http.post("/rank", **asked).json()["groups"][0]["order"]
    page.page.goto(page.home)
    page.page.wait_for_selector("#attribute option:nth-child(3)", state="attached")
    page.page.set_input_files("#files", paths)
    page.page.select_option("#attribute", "exposure")
    expect(page.page.locator("#status")).to_contain_text("ranked by exposure quality")
    assert page.page.locator(".name span").all_text_contents() == order
    page.check()


def test_names_and_faults_are_shown_as_text(page: Watched, portrait_set: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    hostile.write_bytes(b"no picture")
    page.page.goto(page.home)
    page.page.set_input_files("#files", [portrait_set / "sharp.jpg", hostile])
    page.page.wait_for_selector(".unscored li")
    assert (
        page.page.locator(".unscored li").text_content().startswith("<img src=x onerror=alert(1)>.jpg: not a picture")
    )
    assert page.page.locator(".unscored img").count() == 0
    page.check()


def test_a_set_of_which_nothing_can_be_scored_says_why(page: Watched, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no picture")
    page.page.goto(page.home)
    page.page.set_input_files("#files", tmp_path / "note.txt")
    page.page.wait_for_selector("#problem:not([hidden])")
    assert "note.txt: not a picture in any known format" in page.page.locator("#problem").text_content()
    assert page.strangers == []


def test_where_a_key_is_wanted_it_is_asked_for(chromium: Browser, tiny_model: Path, portrait_set: Path) -> None:
    key = "0123456789abcdef0123456789abcdef"
    with serving(Settings(models=(str(tiny_model),), api_keys=(key,))) as live:
        page = watched(chromium, f"http://127.0.0.1:{live.port}/").page
        page.goto(f"http://127.0.0.1:{live.port}/")
        page.wait_for_selector("#key")
        page.fill("#key", key)
        page.set_input_files("#files", portrait_set / "sharp.jpg")
        page.wait_for_selector(".card")
        page.context.close()


def test_docs_show_every_route_without_anything_from_outside(page: Watched, live: Live) -> None:
    page.page.goto(f"{page.home}docs")
    page.page.wait_for_selector(".opblock")
    shown = set(page.page.locator(".opblock-summary-path").evaluate_all("all => all.map(one => one.dataset.path)"))
    assert shown == set(live.http.get("/openapi.json").json()["paths"])
    page.check()


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_forbid_everything_that_is_not_their_own(live: Live, path: str) -> None:
    answer = live.http.get(path)
    assert answer.status_code == 200
    policy = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert re.search(r"<script(?![^>]* src=)|\son\w+=|style=", answer.text) is None


@pytest.mark.parametrize("name", ["..%2fapp.py", "../app.py", "page.html", "vendor/swagger-ui/README.md", "nothing"])
def test_no_other_file_is_given(live: Live, name: str) -> None:
    problem(live.http.get(f"/static/{name}"), 404, "not-found")


def test_every_file_of_the_table_is_there_with_its_type(live: Live) -> None:
    for name, kind in FILES.items():
        answer = live.http.get(f"/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)


def test_vendored_files_are_those_of_the_release() -> None:
    rows = dict(
        re.findall(r"^\| `([\w.-]+)` \| `([0-9a-f]{64})` \|$", VENDOR.joinpath("README.md").read_text(), re.MULTILINE)
    )
    assert set(rows) == {"swagger-ui-bundle.js", "swagger-ui.css"}
    for name, sha256 in rows.items():
        assert hashlib.sha256(VENDOR.joinpath(name).read_bytes()).hexdigest() == sha256
