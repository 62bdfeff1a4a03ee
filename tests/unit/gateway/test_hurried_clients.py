"""Clients in a hurry, in seeded orders: whatever they do, each id is paid once, and nothing is left behind."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from headrace.broker.testing.upstream import Asked, Said
from tests.gateway.rig import client_key
from tests.unit.gateway.served import BODY, Served, served

CALLS = 40
STATUSES = {200, 202, 400, 404, 408, 429, 499, 500, 502, 503, 504}
ENDS = ("wait for ", "call received", "cancel after", "consumer start")
LASTS = ("Task-", "intake ", "follow ")


def answered(asked: Asked) -> str | Said:
    """Answer with the id, so that a stranger's answer is seen; one in eight is refused."""
    if sum(asked.request_id.encode()) % 8 == 0:
        return Said(400, {"error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "bad"}})
    return f"answer of {asked.request_id}"


@dataclass
class Book:
    """What clients saw."""

    wrong: list[str] = field(default_factory=list)
    whole: int = 0
    hung_up: int = 0


def _message(dice: random.Random, tenant_key: str) -> tuple[bytes, str | None]:
    """Return the bytes of a request, and the id that it names."""
    given = dice.choice([None, None, f"lead-{dice.randrange(6)}", "a/b~%25 ü"])
    body = {**BODY, "stream": dice.random() < 0.4}
    head = [
        "POST /v1/chat/completions HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Authorization: Bearer {client_key(tenant_key)}",
        *([] if given is None else [f"x-headrace-id: {given}"]),
        *([] if dice.random() < 0.3 else [f"x-stainless-retry-count: {dice.choice([0, 0, 1, 2, 99, 'x'])}"]),
        *(["Prefer: respond-async"] if dice.random() < 0.1 else []),
        *(["Connection: close"] if dice.random() < 0.3 else []),
        *([f"x-headrace-on-disconnect: {dice.choice(['keep', 'cancel'])}"] if dice.random() < 0.5 else []),
    ]
    if dice.random() < 0.1:
        head[0] = f"{dice.choice(['GET', 'DELETE'])} /v1/headrace/requests/lead-{dice.randrange(6)} HTTP/1.1"
    data = json.dumps(body).encode()
    return ("\r\n".join([*head, f"Content-Length: {len(data)}", "", ""])).encode() + data, given


async def _client(world: Served, dice: random.Random, book: Book) -> None:
    key = dice.choice(["ingest", "other", "small", "hasty"])
    told, _ = _message(dice, key)
    tenant = {"ingest": "acme", "other": "globex"}.get(key, key)
    await asyncio.sleep(dice.random() * 0.5)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.gateway.port)
    cut = dice.choice([None, None, "sending", "waiting", "reading", "pipelining"])
    got = b""
    try:
        if cut == "sending":
            writer.write(told[: dice.randrange(len(told))])
            await asyncio.sleep(dice.random() * 0.05)
            return
        writer.write(told * (3 if cut == "pipelining" else 1))
        if cut in {"waiting", "pipelining"}:
            await asyncio.sleep(dice.random() * 0.3)
            return
        got = await reader.read(65_536)
        if cut == "reading":
            return
        if got:
            book.whole += 1
            status = int(got.split(b" ", 2)[1])
            if status not in STATUSES or b'"crashed"' in got:
                book.wrong.append(got[:300].decode(errors="replace"))
    finally:
        book.hung_up += int(cut is not None)
        if b"answer of " in got and f"answer of {tenant}/".encode() not in got:
            book.wrong.append(f"{tenant} read {got[-200:]!r}")
        if dice.random() < 0.5:
            writer.transport.abort()
        writer.close()


@pytest.mark.parametrize("seed", range(6))
async def test_clients_in_a_hurry_pay_once_and_leave_nothing_behind(seed: int) -> None:
    dice, book = random.Random(seed), Book()
    async with served(answered, latency_s=0.1) as world:
        before = {task.get_name() for task in asyncio.all_tasks()}
        await asyncio.gather(*(_client(world, random.Random(dice.random()), book) for _ in range(CALLS)))
        if dice.random() < 0.5:
            world.broker.kafka.stop()
            await asyncio.sleep(0.2)
            world.broker.kafka.start_again()
        async with asyncio.timeout(5):
            while world.gateway.inflight or any(t.get_name().startswith(ENDS) for t in asyncio.all_tasks()):  # noqa: ASYNC110 — counts tell no event
                await asyncio.sleep(0.02)
        paid = Counter(asked.request_id for asked in world.broker.calls)
        caps = world.gateway.caps
        assert {key.name: caps.inflight(key) for key in world.gateway.ring.keys if caps.inflight(key)} == {}
        reply = await world.ask(BODY, key="small")
        left = {task.get_name() for task in asyncio.all_tasks()} - before
    assert not book.wrong
    assert book.whole
    assert book.hung_up
    assert reply.status in {200, 400}
    assert not [request_id for request_id, count in paid.items() if count > 1]
    assert not [name for name in left if not name.startswith(LASTS)]
