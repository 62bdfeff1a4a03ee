"""Three gateways, one killed every ten seconds under the load of real SDKs: `python -m tests.gateway.kills`.

Each call of a client has a marker in its prompt. At the end each call must have one outcome, and the simulated OpenAI
must have been paid for its marker once; with `--leaders` the leading dispatcher is killed too, and what died with it
may have been paid again.
"""

import argparse
import asyncio
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import openai

from tests.gateway.balancer import Balancer
from tests.gateway.rig import Rig, client_key

KEY = "ingest"
CLIENTS = 8


@dataclass
class Seen:
    """What the clients saw, and what was killed."""

    answered: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    gateways_killed: int = 0
    leaders_killed: int = 0
    retried: int = 0
    broken_off: int = 0


async def one_call(client: openai.AsyncOpenAI, marker: str, dice: random.Random, seen: Seen) -> None:
    """Make one call as a service would, and check that the answer is its own."""
    content = f"[call {marker}] Write a short e-mail to a lead."
    messages: Any = [{"role": "user", "content": content}]
    try:
        if dice.random() < 0.3:
            text = await streamed(client, marker, messages, seen)
        else:
            done = await client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=messages)
            seen.retried += int(done.retries_taken > 0)
            text = done.parse().choices[0].message.content or ""
    except openai.APIError as error:
        seen.failed.append(f"{marker}: {type(error).__name__}: {error}"[:300])
        return
    if not text:
        seen.wrong.append(f"{marker}: an empty answer")
    seen.answered[marker] += 1


async def streamed(client: openai.AsyncOpenAI, marker: str, messages: Any, seen: Seen) -> str:
    """Read a stream; one that breaks off is asked for again by its id: no SDK repeats what it has begun to read."""
    for attempt in range(10):
        try:
            stream = await client.chat.completions.create(
                model="gpt-4o-mini", messages=messages, stream=True, extra_headers={"x-headrace-id": marker}
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
        except openai.APIConnectionError:
            seen.broken_off += 1
            if attempt == 9:
                raise
            await asyncio.sleep(0.5)
    raise AssertionError


async def load(base_url: str, options: argparse.Namespace, seen: Seen) -> None:
    dice = random.Random(options.seed)
    clients = [
        openai.AsyncOpenAI(
            api_key=client_key(KEY),
            base_url=base_url,
            max_retries=10,
            timeout=60.0,
        )
        for _ in range(CLIENTS)
    ]
    flying, until_s = [], time.monotonic() + options.seconds
    for number in range(10**9):
        if time.monotonic() >= until_s:
            break
        call = one_call(clients[number % CLIENTS], f"m{number}", random.Random(f"{options.seed}/{number}"), seen)
        flying.append(asyncio.create_task(call))
        await asyncio.sleep(dice.expovariate(options.rate))
    await asyncio.gather(*flying)
    for client in clients:
        await client.close()


async def killing(rig: Rig, options: argparse.Namespace, seen: Seen) -> None:
    dice = random.Random(options.seed)
    while True:
        await asyncio.sleep(options.every)
        victim = dice.choice(rig.of("gateway"))
        victim.send(signal.SIGKILL)
        await victim.child.wait()
        seen.gateways_killed += 1
        await rig.start("gateway", "gateway", port=victim.port)
        if options.leaders and seen.gateways_killed % 2 == 0:
            leader = rig.of("dispatcher")[0]
            leader.send(signal.SIGKILL)
            await leader.child.wait()
            seen.leaders_killed += 1
            await rig.start("dispatcher", "dispatcher")


async def proved(options: argparse.Namespace) -> bool:
    seen = Seen()
    keys = {KEY: {"tenant": "acme", "lane": "standard"}}
    rig = Rig(
        keys=keys, upstream=("--latency", "0.5-4"), gateways=3, dispatchers=2 if options.leaders else 1, marks=True
    )
    async with rig, Balancer(lambda: [each.port for each in rig.of("gateway")]) as balancer:
        assert rig.books_by_marker is not None
        killer = asyncio.create_task(killing(rig, options, seen))
        await load(f"http://127.0.0.1:{balancer.port}/v1", options, seen)
        killer.cancel()
        await asyncio.gather(killer, return_exceptions=True)
        paid, begun = rig.books_by_marker.paid, rig.books_by_marker.begun
        report(seen, paid, begun)
        twice = sum(1 for count in paid.values() if count > 1)
        for process in rig.processes:
            if "gateway_crashed" in process.said():
                seen.wrong.append(f"{process.log.name} crashed:\n{process.said()[-2_000:]}")
        print(*seen.wrong, sep="\n")
    return not seen.failed and not seen.wrong and (options.leaders or not twice)


def report(seen: Seen, paid: Counter[str], begun: Counter[str]) -> None:
    twice = {marker: count for marker, count in paid.items() if count > 1}
    print(
        f"{len(seen.answered)} calls answered, {len(seen.failed)} failed, {seen.retried} repeated by their SDK, "
        f"{seen.broken_off} streams broken off; "
        f"{seen.gateways_killed} gateways and {seen.leaders_killed} leaders killed; {len(paid)} markers paid, "
        f"{len(twice)} of them more than once, {len(seen.answered.keys() - paid.keys())} answered but never paid"
    )
    print(*seen.failed[:10], sep="\n")
    print({marker: (paid[marker], begun[marker]) for marker in list(twice)[:10]})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.kills", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=20, help="calls a second")
    parser.add_argument("--every", type=float, default=10, help="seconds between two kills")
    parser.add_argument("--leaders", action="store_true", help="kill the leading dispatcher too")
    parser.add_argument("--seed", type=int, default=1)
    raise SystemExit(0 if asyncio.run(proved(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()
