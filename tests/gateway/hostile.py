"""Hostile HTTP beside good calls: `python -m tests.gateway.hostile --requests 20000 --idle 5000`.

Malformed requests by seed, oversize bodies, clients that write or read a byte at a time, and idle connections. Beside
them a good client calls throughout, and another tenant tries to read, join and cancel its requests. At the end the
gateway must be alive and ready, hold no more memory than a bound, have crashed at nothing, and have written no key.
"""

import argparse
import asyncio
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from benchmarks.gateway import memory_of
from tests.gateway.rig import Rig, client_key

GOOD, BAD = "good", "bad"
KEYS = {GOOD: {"tenant": "acme", "lane": "urgent"}, BAD: {"tenant": "mallory", "lane": "urgent"}}
SETTINGS = {
    "HEADRACE_GATEWAY__HEADER_TIMEOUT_S": "3",
    "HEADRACE_GATEWAY__BODY_TIMEOUT_S": "3",
    "HEADRACE_GATEWAY__IDLE_TIMEOUT_S": "120",
    "HEADRACE_GATEWAY__CONNECTIONS_MAX": "6500",
}
AT_ONCE = 200
GROWTH_MB_MAX = 120
SLOW_MS_MAX = 5_000
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Write to a lead."}]}


@dataclass
class Found:
    """What was seen."""

    answers: Counter[str] = field(default_factory=Counter)
    good_ms: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


# ---------------------------------------------------------------------------------------------------- requests


def head(path: str, *, key: str = BAD, method: str = "POST", more: str = "") -> str:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {client_key(key)}\r\n"
        f"Content-Type: application/json\r\n{more}"
    )


def noise(dice: random.Random, most: int) -> bytes:
    return dice.randbytes(dice.randrange(1, most))


def with_body(path: str, body: bytes, more: str = "") -> bytes:
    return head(path, more=f"{more}Content-Length: {len(body)}\r\n\r\n").encode() + body


def path_of(dice: random.Random) -> str:
    return dice.choice(["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/files", "/v1/batches"])


def value(dice: random.Random, depth: int = 0) -> Any:
    """Any JSON value."""
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: dice.choice([True, False, 0, -1, 10**400, 1e308, -0.0, "", "\ud800", "x" * dice.randrange(2_000)]),
        lambda: dice.choice(["gpt-4o-mini", "user", "auto", "stream", "tool"]),
    ]
    if depth < 4:
        kinds += [
            lambda: [value(dice, depth + 1) for _ in range(dice.randrange(4))],
            lambda: {dice.choice(FIELDS): value(dice, depth + 1) for _ in range(dice.randrange(5))},
        ]
    return dice.choice(kinds)()


FIELDS = ["model", "messages", "role", "content", "stream", "input", "tools", "metadata", "n", "timeout", "extra_body"]


def odd_json(dice: random.Random) -> bytes:
    made = {**BODY, **{dice.choice(FIELDS): value(dice) for _ in range(dice.randrange(1, 5))}}
    return with_body(path_of(dice), json.dumps(made).encode(errors="replace"))


def odd_headers(dice: random.Random) -> bytes:
    names = ["x-headrace-id", "x-headrace-lane", "x-headrace-deadline", "Idempotency-Key", "x-stainless-retry-count"]
    names += ["x-headrace-on-disconnect", "Prefer", "traceparent", "x-headrace-template", "Expect", "Content-Encoding"]
    text = "".join(
        chr(dice.choice([32, 33, 34, 44, 65, 97, 48, 57, 126, 233, 0x4E16])) for _ in range(dice.randrange(40))
    )
    more = f"{dice.choice(names)}: {text}\r\n"
    return with_body(path_of(dice), json.dumps(BODY).encode(), more.encode(errors="replace").decode("latin-1"))


def odd_paths(dice: random.Random) -> bytes:
    path = "/v1/" + "".join(dice.choice("abc/%.~?&=é\u4e16") for _ in range(dice.randrange(60)))
    method = dice.choice(["GET", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "FETCH"])
    return head(path, method=method, more="\r\n").encode("utf-8", "replace")


MALFORMED: list[Callable[[random.Random], bytes]] = [
    odd_json,
    odd_headers,
    odd_paths,
    lambda dice: noise(dice, 2_000),
    lambda dice: b"GET / HTTP/9.9\r\n\r\n",
    lambda dice: with_body(path_of(dice), noise(dice, 4_000)),
    lambda dice: with_body(path_of(dice), b"[" * dice.randrange(1, 100_000)),
    lambda dice: with_body(path_of(dice), b'{"a":' * dice.randrange(1, 30_000)),
    lambda dice: with_body(path_of(dice), b"[" + b"[]," * dice.randrange(1, 200_000) + b"[]]"),
    lambda dice: head(path_of(dice), more="Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n").encode(),
    lambda dice: head(path_of(dice), more="Content-Length: -1\r\n\r\n").encode(),
    lambda dice: head(path_of(dice), more="Content-Length: 99999999999\r\n\r\n").encode(),
    lambda dice: head(path_of(dice), more="Transfer-Encoding: chunked\r\n\r\nZZ\r\n").encode(),
    lambda dice: head(path_of(dice), more=f"X: {'y' * dice.randrange(1, 200_000)}\r\n\r\n").encode(),
    lambda dice: head(path_of(dice), more="".join(f"X{n}: y\r\n" for n in range(dice.randrange(2_000)))).encode(),
    lambda dice: with_body(path_of(dice), noise(dice, 3_000), "Content-Encoding: gzip\r\n"),
    lambda dice: with_body("/v1/files", noise(dice, 3_000), "Content-Type: multipart/form-data; boundary=x\r\n"),
]


async def malformed(port: int, seed: int, found: Found) -> None:
    """Send one malformed request, and read whatever answer there is."""
    dice = random.Random(seed)
    sent = dice.choice(MALFORMED)(dice)
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(sent)
                await writer.drain()
                if dice.random() < 0.3:
                    writer.write_eof()
                line = await reader.readline()
                status = line.split(b" ")[1].decode() if line.count(b" ") > 1 else "none"
                found.answers[status] += 1
                if status.startswith("5") and status not in {"502", "503", "504"}:
                    found.faults.append(f"seed {seed}: {status} for {sent[:200]!r}")
            finally:
                writer.transport.abort()


async def oversize(port: int, found: Found) -> None:
    """Send a body of 50 MB; it must be refused, and not held."""
    async with aiohttp.ClientSession() as session:
        with suppress(aiohttp.ClientError, OSError):
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            headers = {"Authorization": f"Bearer {client_key(BAD)}", "Content-Type": "application/json"}
            async with session.post(url, data=b" " * 50_000_000, headers=headers) as answer:
                found.answers[f"oversize {answer.status}"] += 1
                if answer.status != 413:
                    found.faults.append(f"a body of 50 MB was answered with {answer.status}")


async def slow_writer(port: int, found: Found, *, in_head: bool) -> None:
    """Write a byte at a time; the connection must be closed within the time-outs."""
    began_s = time.monotonic()
    whole = with_body("/v1/chat/completions", json.dumps(BODY).encode())
    split = 10 if in_head else whole.index(b"\r\n\r\n") + 6
    with suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(whole[:split])
        for place in range(split, split + 30):
            if reader.at_eof() or writer.is_closing():
                break
            writer.write(whole[place : place + 1])
            await asyncio.sleep(1)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    if not await reader.read(1):
                        break
                    break
        writer.transport.abort()
    if time.monotonic() - began_s > 25:
        found.faults.append(f"a slow writer ({'head' if in_head else 'body'}) was served for 25 s")
    found.answers["slow writers closed"] += 1


async def slow_reader(port: int, found: Found) -> None:
    """Ask for much, and read nothing."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        request = with_body("/v1/chat/completions", json.dumps({**BODY, "stream": True}).encode())
        writer.write(request * 20)
        await asyncio.sleep(10)
        writer.transport.abort()
        found.answers["slow readers"] += 1


async def idle(port: int, count: int, until: asyncio.Event, found: Found) -> None:
    """Keep connections open that ask for nothing; those that are closed are opened again."""

    async def one() -> None:
        while not until.is_set():
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                found.answers["idle opened"] += 1
                reading = asyncio.create_task(reader.read(1))
                waiting = asyncio.create_task(until.wait())
                await asyncio.wait({reading, waiting}, return_when=asyncio.FIRST_COMPLETED)
                reading.cancel()
                waiting.cancel()
                await asyncio.gather(reading, waiting, return_exceptions=True)
                writer.transport.abort()
            await asyncio.sleep(0.5)

    await asyncio.gather(*(one() for _ in range(count)))


# ---------------------------------------------------------------------------------------------------- good calls


async def good(rig: Rig, until: asyncio.Event, found: Found) -> None:
    """Call once in a while; each call must be answered soon."""
    headers = {"Authorization": f"Bearer {client_key(GOOD)}"}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        number = 0
        while not until.is_set():
            number += 1
            began_s = time.perf_counter()
            named = {**headers, "x-headrace-id": f"lead-{number}"}
            try:
                async with session.post(f"{rig.base_url}/chat/completions", json=BODY, headers=named) as answer:
                    told = await answer.json()
                    if answer.status != 200:
                        found.faults.append(f"a good call got {answer.status}: {told}")
            except (aiohttp.ClientError, TimeoutError) as error:
                found.faults.append(f"a good call failed: {type(error).__name__}: {error}")
            found.good_ms.append(1e3 * (time.perf_counter() - began_s))
            await other_tenant(rig, session, number, found)
            await asyncio.sleep(0.2)


async def other_tenant(rig: Rig, session: aiohttp.ClientSession, number: int, found: Found) -> None:
    """Try to reach another tenant's request by its id."""
    headers = {"Authorization": f"Bearer {client_key(BAD)}"}
    for name in (f"lead-{number}", f"acme/lead-{number}", f"../acme/lead-{number}", f"%2E%2E/acme/lead-{number}"):
        url = f"{rig.base_url}/headrace/requests/{name}"
        async with session.get(url, headers=headers) as answer:
            text = await answer.text()
            if answer.status == 200 and "completed" in text:
                found.faults.append(f"another tenant read {name}: {text[:200]}")


# ---------------------------------------------------------------------------------------------------- all of it


async def proved(options: argparse.Namespace) -> bool:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    found = Found()
    async with Rig(keys=KEYS, settings=SETTINGS) as rig:
        gateway = rig.of("gateway")[0]
        until = asyncio.Event()
        calling = asyncio.create_task(good(rig, until, found))
        await asyncio.sleep(3)
        before = memory_of(gateway)
        idling = asyncio.create_task(idle(gateway.port, options.idle, until, found))
        await asyncio.gather(oversize(gateway.port, found), slow_reader(gateway.port, found))
        slow = [asyncio.create_task(slow_writer(gateway.port, found, in_head=bool(n % 2))) for n in range(20)]
        places = asyncio.Semaphore(AT_ONCE)

        async def one(seed: int) -> None:
            async with places:
                await malformed(gateway.port, seed, found)

        await asyncio.gather(*(one(options.seed + number) for number in range(options.requests)))
        await asyncio.gather(*slow)
        held = memory_of(gateway)
        until.set()
        await asyncio.gather(calling, idling)
        judge(rig, found, before, held)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return not found.faults


def judge(rig: Rig, found: Found, before: int, held: int) -> None:
    gateway = rig.of("gateway")
    if not gateway:
        found.faults.append("the gateway has ended")
    for process in rig.processes:
        said = process.said()
        for name in KEYS:
            if client_key(name) in said:
                found.faults.append(f"{process.log.name} has the key of {name}")
        if process.name == "gateway" and ("gateway_crashed" in said or "Traceback" in said):
            line = next(line for line in said.splitlines() if "crashed" in line or "Traceback" in line)
            found.faults.append(f"{process.log.name}: {line[:500]}")
    growth_mb = (held - before) / 2**20
    if growth_mb > GROWTH_MB_MAX:
        found.faults.append(f"memory grew by {growth_mb:.0f} MB")
    slowest = max(found.good_ms)
    print(f"answers: {dict(found.answers.most_common())}")
    median = sorted(found.good_ms)[len(found.good_ms) // 2]
    print(f"{len(found.good_ms)} good calls, median {median:.0f} ms, slowest {slowest:.0f} ms")
    print(f"memory {before / 2**20:.0f} -> {held / 2**20:.0f} MB")
    print(*found.faults[:20], sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.hostile", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--idle", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    raise SystemExit(0 if asyncio.run(proved(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()
