"""The page over HTTP: its policy, its events, its search, and the token that guards it."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import aiohttp
import aiohttp.web
import pytest

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.errors import LeaseUnavailable, Unreachable
from headrace.broker.service.containment import Containment
from headrace.broker.service.health import Health
from headrace.broker.service.page.assets import asset
from headrace.broker.service.page.broadcast import PAGES_MAX, Broadcast
from headrace.broker.service.page.documents import Documents
from headrace.broker.service.page.finder import Finder, plain_address
from headrace.broker.service.page.pages import Pages
from headrace.broker.service.page.retrier_page import RetrierPage
from headrace.broker.service.status.guard import OPEN, TokenGuard
from headrace.broker.service.status.reading import STALE_AFTER_S
from headrace.broker.service.status.web import FirstPage, Web
from tests.unit.service.page.test_documents import Board
from tests.unit.service.rig import PREFIX, settings_of
from tests.unit.service.status.specimens import said

TOKEN = "0123456789abcdef-token"
HOSTILE = "</script><script>alert(1)</script>"


def told_of(request_id: str, run: int | None) -> dict[str, Any]:
    return {"id": request_id, "run": run, "topic_prefix": PREFIX, "state": "calling", "calls": 1, "lane": "bulk"}


def pages(*, role: str = "leader", board: Board | None = None, guard: TokenGuard = OPEN) -> Pages:
    containment = Containment(Meter(), WallClock(lambda: 0.0))
    health = Health(role=role)
    documents = Documents(settings_of(), health, lambda: said(host=HOSTILE), board, containment)
    return Pages(documents, Broadcast(documents.document, containment), Finder(health, told_of, board, guard, PREFIX))


@asynccontextmanager
async def web(
    page: FirstPage | None = None, guard: TokenGuard = OPEN
) -> AsyncIterator[tuple[Web, aiohttp.ClientSession]]:
    serving = Web(
        host="127.0.0.1",
        port=0,
        setting="dispatcher.http_port",
        health=Health(role="leader"),
        scrape=lambda accept: (b"headrace_leader 1.0\n", "text/plain; version=0.0.4"),
        status=lambda: {"role": "leader", "topic_prefix": PREFIX},
        observed=lambda step, error: None,
        whereabouts=told_of,
        page=page or pages(guard=guard),
        guard=guard,
    )
    async with serving, aiohttp.ClientSession(f"http://127.0.0.1:{serving.port}") as session:
        yield serving, session


async def events(answer: aiohttp.ClientResponse, count: int) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    kind = ""
    async for line in answer.content:
        name, _, text = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = text
        elif name == "data":
            found.append((kind, json.loads(text)))
        if len(found) == count:
            break
    return found


# ---------------------------------------------------------------------------------------------------- the page


async def test_the_page_allows_its_own_style_and_script_and_its_own_server_and_nothing_else() -> None:
    async with web() as (_, session), session.get("/") as answer:
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert answer.content_type == "text/html"
        assert policy.pop("default-src") == policy.pop("base-uri") == policy.pop("form-action") == "'none'"
        assert (policy.pop("connect-src"), policy.pop("img-src")) == ("'self'", "data:")
        assert policy.pop("frame-ancestors") == "'none'"
        assert all(re.fullmatch(r"'sha256-[A-Za-z0-9+/=]{44}'", each) for each in policy.values())
        assert policy.keys() == {"style-src", "script-src"}
        assert "unsafe" not in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", ["page.html", "retrier.html"])
def test_a_page_names_no_outside_host_and_writes_no_markup_from_script(name: str) -> None:
    html = asset(name).html
    hosts = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", html))
    assert hosts <= {"http://www.w3.org"}, "the name of SVG, which is not fetched"
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "onclick=", "style="):
        assert sink not in html, sink


async def test_the_first_event_has_the_panels_and_the_second_the_status() -> None:
    async with web() as (_, session), session.get("/events") as answer:
        assert answer.content_type == "text/event-stream"
        (first, introduction), (second, told) = await events(answer, 2)
        assert (first, second) == ("introduction", "status")
        assert "backlog_seconds" in introduction["panels"]
        assert (told["host"], told["page"]["flow"]) == (HOSTILE, "flows")


async def test_an_open_page_does_not_hold_up_the_end_of_the_server() -> None:
    page = pages()
    async with web(page) as (serving, session), session.get("/events") as answer:
        await events(answer, 2)
        began_s = asyncio.get_running_loop().time()
        await serving.__aexit__()
        assert asyncio.get_running_loop().time() - began_s < 0.5
        assert page.broadcast.pages == 0


async def test_a_head_of_the_events_is_refused_since_its_answer_would_not_end() -> None:
    page = pages()
    async with web(page) as (_, session), session.head("/events") as answer:
        assert (answer.status, page.broadcast.pages) == (405, 0)


async def test_a_page_that_is_gone_before_the_answer_begins_is_no_defect() -> None:
    page = pages()
    async with web(page) as (serving, _):
        found: list[BaseException] = []
        serving.observed = lambda _, error: found.append(error)
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", serving.port)
            writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            writer.transport.abort()
        await asyncio.sleep(0.2)
        assert (page.broadcast.pages, found) == (0, [])


async def test_one_page_too_many_is_told_so() -> None:
    page = pages()
    with ExitStack() as others:
        for _ in range(PAGES_MAX):
            others.enter_context(page.broadcast.page())
        async with web(page) as (_, session), session.get("/events") as answer:
            assert answer.status == 503
            assert f"{PAGES_MAX} open pages" in await answer.text()


# ---------------------------------------------------------------------------------------------------- the search


async def test_a_request_is_found_in_sentences() -> None:
    async with web() as (_, session):
        async with session.get("/find", params={"id": "lead-1", "run": "2"}) as answer:
            told = await answer.json()
            assert (told["told"]["id"], told["asked"]) == ("lead-1", None)
            assert told["lines"][0].startswith("lead-1 (run 2) is being called, in lane bulk")
        for query in ("", "?id=", "?run=1", "?id=a&id=b", "?x=1", "?id=a&run=x"):
            async with session.get(f"/find{query}") as answer:
                assert answer.status == 400
                assert (await answer.json())["error"]


async def test_a_standby_asks_the_leader_at_the_address_that_it_reports_and_sends_it_the_token() -> None:
    guard = TokenGuard(TOKEN)
    async with web(guard=guard) as (leader, _):
        board = Board(json.dumps(said(url=f"http://127.0.0.1:{leader.port}")))
        found = await Finder(Health(role="standby"), told_of, board, guard, PREFIX).find("lead-1", None)
        assert found["asked"] == f"http://127.0.0.1:{leader.port}"
        assert found["told"]["state"] == "calling"


@pytest.mark.parametrize(
    "status",
    [
        None,
        "[]",
        json.dumps(said()),
        json.dumps(said(url="http://127.0.0.1:1")),
        json.dumps(said(url=3)),
    ],
)
async def test_without_a_leader_that_can_be_asked_that_is_the_answer(status: str | None) -> None:
    page = pages(role="standby", board=Board(status))
    async with web(page) as (_, session), session.get("/find?id=lead-1") as answer:
        assert answer.status == 503
        assert (await answer.json())["error"].endswith(".")


async def test_the_run_in_question_is_passed_on_to_the_leader() -> None:
    async with web() as (leader, _):
        board = Board(json.dumps(said(url=f"http://127.0.0.1:{leader.port}")))
        found = await Finder(Health(role="standby"), told_of, board, OPEN, PREFIX).find("lead-1", 3)
        assert found["lines"][0].startswith("lead-1 (run 3) is being called")


async def test_a_leader_that_has_not_reported_for_long_is_not_asked() -> None:
    async with web() as (leader, _):
        board = Board(json.dumps(said(url=f"http://127.0.0.1:{leader.port}")), age_s=STALE_AFTER_S + 1)
        with pytest.raises(Unreachable, match="No dispatcher leads"):
            await Finder(Health(role="standby"), told_of, board, OPEN, PREFIX).find("lead-1", None)


class Leaders:
    """Answers to a standby's question, from pages of an odd leader."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def routes(self) -> list[aiohttp.web.RouteDef]:
        return [aiohttp.web.get("/odd/{kind}/status", self._answer)]

    async def close(self) -> None:
        """Nothing is open."""

    async def _answer(self, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        self.asked.append(request.path)
        answer = json.dumps(told_of("lead-1", None)).encode()
        match request.match_info["kind"]:
            case "moved":
                raise aiohttp.web.HTTPFound("/status?id=lead-1")
            case "refused":
                return aiohttp.web.Response(body=answer, status=500)
            case "pieces":
                response = aiohttp.web.StreamResponse()
                await response.prepare(request)
                for piece in (answer[:10], answer[10:]):
                    await response.write(piece)
                    await asyncio.sleep(0)
                return response
        return aiohttp.web.Response(body=answer)


@pytest.mark.parametrize(("kind", "is_read"), [("plain", True), ("pieces", True), ("moved", False), ("refused", False)])
async def test_only_a_plain_answer_of_the_leader_itself_is_read(kind: str, is_read: bool) -> None:  # noqa: FBT001 — a case
    leaders = Leaders()
    async with web(leaders) as (leader, _):
        finder = Finder(Health(role="standby"), told_of, None, OPEN, PREFIX)
        asking = finder._ask(f"http://127.0.0.1:{leader.port}/odd/{kind}", "lead-1", None)
        if is_read:
            assert (await asking)["state"] == "calling"
        else:
            with pytest.raises(Unreachable, match="gave no answer that can be read"):
                await asking
    assert leaders.asked == [f"/odd/{kind}/status"]


async def test_an_answer_of_another_service_is_not_passed_on() -> None:
    async with web() as (other, _):
        board = Board(json.dumps(said(url=f"http://127.0.0.1:{other.port}")))
        page = pages(role="standby", board=board)
        foreign = Finder(Health(role="standby"), told_of, board, OPEN, "another prefix")
        served = Pages(page.documents, page.broadcast, foreign)
        async with web(served) as (_, session), session.get("/find?id=lead-1") as answer:
            assert "no answer that can be read" in (await answer.json())["error"]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://10.0.0.7:8080", "http://10.0.0.7:8080"),
        ("http://10.0.0.7:8080/", "http://10.0.0.7:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://10.0.0.7:8080/admin", None),
        ("http://10.0.0.7:8080?x=1", None),
        ("http://10.0.0.7:8080#x", None),
        ("http://me:pw@10.0.0.7:8080", None),
        ("http://10.0.0.7", None),
        ("https://10.0.0.7:8080", None),
        ("file:///etc/passwd", None),
        ("http://[10:8080", None),
        ("http://a:99999999", None),
        ("", None),
        (None, None),
    ],
)
def test_only_scheme_host_and_port_of_a_reported_address_are_used(url: str | None, address: str | None) -> None:
    assert plain_address(url) == address


# ---------------------------------------------------------------------------------------------------- the token


async def test_a_token_guards_page_events_search_and_status_and_leaves_probes_and_metrics_open() -> None:
    async with web(guard=TokenGuard(TOKEN)) as (_, session):
        for path in ("/", "/events", "/find?id=a", "/status", "/status?id=a", "/nowhere"):
            async with session.get(path) as answer:
                assert answer.status == 401, path
                assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
                assert TOKEN not in await answer.text()
        for path in ("/healthz", "/metrics"):
            async with session.get(path) as answer:
                assert answer.status == 200, path
        async with session.get("/readyz") as answer:
            assert answer.status == 503, "as its health says"
        login = base64.b64encode(f"any:{TOKEN}".encode()).decode()
        for header in (f"Bearer {TOKEN}", f"Basic {login}"):
            for path in ("/", "/status", "/find?id=a"):
                async with session.get(path, headers={"Authorization": header}) as answer:
                    assert answer.status == 200, path


async def test_a_path_that_looks_open_is_not() -> None:
    async with web(guard=TokenGuard(TOKEN)) as (_, session):
        for path in ("//metrics/../status", "/metrics/", "/healthz/../status", "/Metrics", "/status/metrics"):
            async with session.get(f"http://127.0.0.1:{_port(session)}{path}") as answer:
                assert answer.status in {401, 404}, path
                assert "topic_prefix" not in await answer.text()


def _port(session: aiohttp.ClientSession) -> int:
    assert session._base_url is not None
    assert session._base_url.port is not None
    return session._base_url.port


# ---------------------------------------------------------------------------------------------------- the retrier


async def test_a_retriers_page_says_what_it_does_and_where_the_live_page_is() -> None:
    status = {"role": "leader", "topic_prefix": HOSTILE, "waiting": {"rate_limited": 1_200}, "ready": {"kafka": True}}

    async def leaders() -> str | None:
        return json.dumps({"url": "http://10.0.0.7:8080"})

    async with web(RetrierPage(lambda: status, leaders)) as (_, session), session.get("/") as answer:
        html = await answer.text()
        assert "This one does the work." in html
        assert "<dd>rate_limited 1,200</dd>" in html
        assert '<a href="http://10.0.0.7:8080/">' in html
        assert "<script" not in html
        assert "style-src 'sha256-" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("left", [None, "[]", json.dumps({"url": "javascript:alert(1)"})])
async def test_without_a_leaders_address_a_retriers_page_links_to_none(left: str | None) -> None:
    async def leaders() -> str | None:
        return left

    async with web(RetrierPage(lambda: {"role": "promoting"}, leaders)) as (_, session), session.get("/") as answer:
        html = await answer.text()
        assert "Every dispatcher serves the live page at its own port." in html
        assert "It is promoting." in html
        assert "javascript" not in html


async def test_a_retriers_page_says_numbers_that_are_names_as_such_and_nothing_that_acts_without_redis() -> None:
    async def leaders() -> str | None:
        raise LeaseUnavailable("Redis does not answer.")

    status = {"role": "standby", "pid": 12_345, "moved": 12_345, "host": "a\u202eb"}
    async with web(RetrierPage(lambda: status, leaders)) as (_, session), session.get("/") as answer:
        html = await answer.text()
        assert answer.status == 200
        assert "<dt>pid</dt><dd>12345</dd>" in html
        assert "<dt>moved</dt><dd>12,345</dd>" in html
        assert "\u202e" not in html
        assert "Every dispatcher serves the live page at its own port." in html
