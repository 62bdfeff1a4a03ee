"""Tests of the delivery on the real dispatcher in memory, with endpoints that answer as told; one over real HTTP."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from headrace import GenerationClient
from headrace.broker.testing import Asked, MemoryBroker, Said
from webhook.delivery import Pace, Reply
from webhook.endpoints import BadEndpoints, Endpoint, Endpoints, Health, read_endpoints
from webhook.http_post import HttpPost
from webhook.service import DEAD_LETTERS, GROUP, Rules, Webhooks
from webhook.signing import secret_of, signed_headers, webhook_id

SECRET = b"a secret of thirty-two bytes ..."
OLDER = b"another one of 32 bytes, retired"
QUICK = Rules(concurrency=8, pace=Pace(attempts_max=3, pause_s=0.001, pause_max_s=0.002), again_every_s=60.0)
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Write to Ada."}]}


class Receivers:
    """Endpoints of customers: what each got, and what it answers."""

    def __init__(self, answer: Callable[[str, int], Reply] | None = None) -> None:
        self.got: defaultdict[str, list[tuple[Mapping[str, str], dict[str, Any]]]] = defaultdict(list)
        self.attempts: Counter[str] = Counter()
        self._answer = answer or (lambda _url, _nth: Reply(204))

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        self.attempts[url] += 1
        reply = self._answer(url, self.attempts[url])
        await asyncio.sleep(0)
        if reply.is_accepted:
            self.got[url].append((headers, json.loads(body)))
        return reply

    def ids(self, url: str) -> list[str]:
        return sorted(message["data"]["id"] for _, message in self.got[url])


def endpoint(name: str, health: Health | None = None) -> Endpoint:
    return Endpoint(f"https://{name}.example", (SECRET, OLDER), health or Health())


def endpoints(*names: str, health: Health | None = None) -> Endpoints:
    return Endpoints({name: endpoint(name, health) for name in names})


@asynccontextmanager
async def broker_with(
    requests: Mapping[str, list[str]], answer: Callable[[Asked], Said | str] | None = None
) -> AsyncIterator[MemoryBroker]:
    """A broker in which the requests of each tenant are answered."""
    async with MemoryBroker(answer, topics=(DEAD_LETTERS,)) as broker:
        async with GenerationClient(connection=broker.connection) as generations:
            for tenant, ids in requests.items():
                for request_id in ids:
                    await generations.submit(BODY, lane="urgent", tenant=tenant, id=request_id)
        total = sum(map(len, requests.values()))
        await until(lambda: len(broker.outcomes) == total)
        yield broker


@asynccontextmanager
async def delivering(
    broker: MemoryBroker, to: Endpoints, post: Receivers | HttpPost, rules: Rules = QUICK
) -> AsyncIterator[Webhooks]:
    webhooks = Webhooks(broker.connection, to, post, rules=rules)
    running = asyncio.create_task(webhooks.run())
    try:
        yield webhooks
    finally:
        webhooks.stop()
        async with asyncio.timeout(10):
            await running


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)


async def test_each_outcome_is_delivered_once_with_the_same_id_at_every_attempt() -> None:
    attempted: defaultdict[str, list[Mapping[str, str]]] = defaultdict(list)

    class Flaky(Receivers):
        async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
            attempted[json.loads(body)["data"]["id"]].append(headers)
            return await super().__call__(url, headers, body)

    receivers = Flaky(lambda _url, nth: Reply(503 if nth == 1 else 200))
    async with broker_with({"acme": ["lead-1", "lead-2"]}) as broker, delivering(broker, endpoints("acme"), receivers):
        await until(lambda: len(receivers.ids("https://acme.example")) == 2)
    assert receivers.ids("https://acme.example") == ["lead-1", "lead-2"]
    for request_id, headers in attempted.items():
        assert {each["webhook-id"] for each in headers} == {webhook_id(request_id, 0)}
    assert max(map(len, attempted.values())) == 2


async def test_a_failed_request_is_delivered_as_such_with_its_reason() -> None:
    def refuse(_asked: Asked) -> Said:
        return Said(400, {"error": {"message": "Invalid prompt", "code": "invalid_prompt", "type": "x"}})

    receivers = Receivers()
    async with broker_with({"acme": ["lead-1"]}, refuse) as broker, delivering(broker, endpoints("acme"), receivers):
        await until(lambda: bool(receivers.ids("https://acme.example")))
    [(_, message)] = receivers.got["https://acme.example"]
    assert message["type"] == "generation.failed"
    assert message["data"]["reason"] == "rejected"
    assert message["timestamp"] == message["data"]["timings"]["finished_at"]


async def test_an_endpoint_that_is_down_holds_up_no_other_and_costs_few_calls() -> None:
    down = endpoint("down", Health(failures_max=5, rest_s=60.0))
    to = Endpoints({"down": down, "up": endpoint("up")})
    receivers = Receivers(lambda url, _nth: Reply(0 if "down" in url else 200))
    requests = {"down": [f"down-{nth}" for nth in range(40)], "up": [f"up-{nth}" for nth in range(10)]}
    async with broker_with(requests) as broker, delivering(broker, to, receivers):
        await until(lambda: len(receivers.ids("https://up.example")) == 10)
        await until(lambda: len(broker.kafka.committed(DEAD_LETTERS)) == 40)
    assert receivers.attempts["https://down.example"] <= 5 + QUICK.concurrency


async def test_what_was_put_aside_is_delivered_once_its_endpoint_is_back() -> None:
    is_down = [True]
    receivers = Receivers(lambda _url, _nth: Reply(500 if is_down[0] else 200))
    rules = Rules(concurrency=8, pace=QUICK.pace, again_every_s=0.02)
    health = Health(failures_max=3, rest_s=0.0)
    async with (
        broker_with({"acme": ["lead-1", "lead-2"]}) as broker,
        delivering(broker, endpoints("acme", health=health), receivers, rules),
    ):
        await until(lambda: len(broker.kafka.committed(DEAD_LETTERS)) > 4)  # put back at least once
        is_down[0] = False
        await until(lambda: len(receivers.ids("https://acme.example")) == 2)
    assert receivers.ids("https://acme.example") == ["lead-1", "lead-2"]
    assert {headers["webhook-id"] for headers, _ in receivers.got["https://acme.example"]} == {
        webhook_id("lead-1", 0),
        webhook_id("lead-2", 0),
    }


async def test_an_outcome_that_is_too_old_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    receivers = Receivers(lambda _url, _nth: Reply(500))
    rules = Rules(pace=QUICK.pace, again_every_s=0.02, give_up_after=timedelta(0))
    async with broker_with({"acme": ["lead-1"]}) as broker, delivering(broker, endpoints("acme"), receivers, rules):
        await until(lambda: "given up, run 0 of lead-1" in caplog.text)
        assert len(broker.kafka.committed(DEAD_LETTERS)) == 1


async def test_an_endpoint_that_says_it_is_gone_is_asked_once() -> None:
    receivers = Receivers(lambda _url, _nth: Reply(410))
    async with broker_with({"acme": ["lead-1"]}) as broker, delivering(broker, endpoints("acme"), receivers):
        await until(lambda: len(broker.kafka.committed(DEAD_LETTERS)) == 1)
    assert receivers.attempts["https://acme.example"] == 1


async def test_a_stop_gives_back_what_waits_for_another_attempt_and_puts_nothing_aside() -> None:
    receivers = Receivers(lambda _url, _nth: Reply(503, retry_after_s=15.0))
    patient = Rules(pace=Pace(attempts_max=3, pause_max_s=15.0))
    async with broker_with({"acme": ["lead-1"]}) as broker:
        async with delivering(broker, endpoints("acme"), receivers, patient):
            await until(lambda: receivers.attempts["https://acme.example"] == 1)
        assert broker.kafka.committed(DEAD_LETTERS) == []
        after_restart = Receivers()
        async with delivering(broker, endpoints("acme"), after_restart):
            await until(lambda: after_restart.ids("https://acme.example") == ["lead-1"])


async def test_after_a_restart_nothing_is_delivered_again() -> None:
    before, after = Receivers(), Receivers()
    async with broker_with({"acme": ["lead-1", "lead-2"]}) as broker:
        async with delivering(broker, endpoints("acme"), before):
            await until(lambda: len(before.ids("https://acme.example")) == 2)
        async with GenerationClient(connection=broker.connection) as generations:
            await generations.generate(BODY, lane="urgent", tenant="acme", id="lead-3")
        async with delivering(broker, endpoints("acme"), after):
            await until(lambda: bool(after.ids("https://acme.example")))
    assert after.ids("https://acme.example") == ["lead-3"]


async def test_a_process_that_dies_during_an_attempt_has_delivered_nothing() -> None:
    reached = asyncio.Event()

    class Hanging(Receivers):
        async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
            reached.set()
            await asyncio.sleep(3_600)
            return await super().__call__(url, headers, body)

    async with broker_with({"acme": ["lead-1"]}) as broker:
        dying = asyncio.create_task(Webhooks(broker.connection, endpoints("acme"), Hanging(), rules=QUICK).run())
        await reached.wait()
        dying.cancel()
        await asyncio.wait({dying})
        receivers = Receivers()
        async with delivering(broker, endpoints("acme"), receivers):
            await until(lambda: receivers.ids("https://acme.example") == ["lead-1"])


async def test_a_tenant_without_an_endpoint_gets_nothing_and_holds_up_nothing() -> None:
    receivers = Receivers()
    requests = {"unknown": ["lead-1"], "acme": ["lead-2"]}
    async with broker_with(requests) as broker, delivering(broker, endpoints("acme"), receivers):
        await until(lambda: receivers.ids("https://acme.example") == ["lead-2"])
    assert list(receivers.attempts) == ["https://acme.example"]


async def test_over_real_http_a_receiver_checks_the_signature_and_no_redirect_is_followed() -> None:
    taken: list[dict[str, Any]] = []

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        assert f"v1,{expected}" in request.headers["webhook-signature"].split(" ")
        taken.append(json.loads(body))
        return web.Response()

    async def elsewhere(_request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("/hook")

    app = web.Application()
    app.router.add_post("/hook", receive)
    app.router.add_post("/moved", elsewhere)
    async with TestServer(app) as server, broker_with({"acme": ["lead-1"], "moved": ["lead-2"]}) as broker:
        to = Endpoints(
            {
                "acme": Endpoint(str(server.make_url("/hook")), (OLDER, SECRET)),
                "moved": Endpoint(str(server.make_url("/moved")), (SECRET,)),
            }
        )
        async with HttpPost() as post, delivering(broker, to, post):
            await until(lambda: len(broker.kafka.committed(DEAD_LETTERS)) == 1)
            await until(lambda: len(taken) == 1)
        assert (await closed_port_reply()).status == 0
    assert [each["data"]["id"] for each in taken] == ["lead-1"]


async def closed_port_reply() -> Reply:
    async with HttpPost(timeout_s=1.0) as post:
        return await post("http://127.0.0.1:1/", {}, b"{}")


def test_the_signature_is_that_of_the_scheme() -> None:
    secret = secret_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_ids_differ_by_request_and_by_run_and_have_no_full_stop() -> None:
    ids = {webhook_id("lead.1", 0), webhook_id("lead.1", 1), webhook_id("lead.2", 0), webhook_id("lead.1\t0", 0)}
    assert len(ids) == 4
    assert not any("." in each for each in ids)


def test_a_resting_endpoint_admits_one_call_each_time_its_rest_is_over() -> None:
    now = [0.0]
    health = Health(failures_max=2, rest_s=60.0, clock=lambda: now[0])
    for _ in range(2):
        assert health.admits()
        health.failed()
    assert not health.admits()
    now[0] = 60.0
    assert [health.admits(), health.admits()] == [True, False]
    health.failed()
    now[0] = 120.0
    assert health.admits()
    health.answered()
    assert [health.admits(), health.admits()] == [True, True]


def test_pauses_grow_to_their_bound_and_heed_retry_after() -> None:
    pace = Pace(pause_s=1.0, pause_max_s=10.0)
    assert 0.5 <= pace.pause_after_s(1, Reply(500)) <= 1.0
    assert 2.0 <= pace.pause_after_s(3, Reply(500)) <= 4.0
    assert pace.pause_after_s(9, Reply(500)) == 10.0
    assert pace.pause_after_s(1, Reply(429, retry_after_s=7.0)) == 7.0
    assert pace.pause_after_s(1, Reply(429, retry_after_s=3_600.0)) == 10.0


def test_the_file_of_endpoints_is_read_and_a_bad_one_is_told(tmp_path: Path) -> None:
    found = read_endpoints(Path(__file__).with_name("endpoints.toml"))
    acme, other = found.of("acme"), found.of("globex")
    assert acme is not None
    assert other is not None
    assert len(acme.secrets) == 2
    assert other == found.of(None)
    assert "secret" not in repr(acme)
    for text in ('[a]\nurl = "ftp://x"\nsecrets = []', '[a]\nurl = "https://x"\nsecrets = ["whsec_c2hvcnQ="]', "x = 1"):
        bad = tmp_path / "bad.toml"
        bad.write_text(text)
        with pytest.raises(BadEndpoints, match=r"bad\.toml"):
            read_endpoints(bad)


def test_the_group_is_not_that_of_another_example() -> None:
    assert GROUP == "webhook"
