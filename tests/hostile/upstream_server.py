"""The hostile upstream: a TCP server on loopback that says byte by byte what a seed names, in a process of its own.

Requests whose id begins with `odd-` get hostile answers to their first calls and proper ones from then on; all others get proper ones. A
second port is the trap: whatever reaches it was sent there by a redirect, with the key perhaps.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from tests.hostile.upstream_answers import kind_of
from tests.hostile.upstream_pieces import Asked, Step, proper
from tests.tcp_server import tcp_server

TAKES_S = 0.02
"""How long a proper answer takes."""
ODD_CALLS = 3
"""So many calls of an odd request are answered oddly: more than the harness makes, but for those that are throttled."""
FLOOD_BYTES_MAX = 64 * 1024 * 1024
"""Where a flood ends that nobody cuts off."""
_HEAD_BYTES_MAX = 4 * 1024 * 1024


class HostileServer:
    """Answers, and counts what it was asked."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.calls: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.trapped = 0
        self.trap_port = 0

    async def run(self) -> None:
        """Serve until the input ends; the two ports are printed first, the counts when they are asked for."""
        async with self.listening() as port, tcp_server(self._trap) as self.trap_port:
            print(json.dumps({"port": port}), flush=True)
            reader = asyncio.StreamReader()
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            while await reader.readline():
                print(json.dumps({"kinds": self.kinds, "trapped": self.trapped}), flush=True)

    def listening(self) -> AbstractAsyncContextManager[int]:
        """Serve in this loop, at a free port."""
        return tcp_server(self._serve, limit=_HEAD_BYTES_MAX)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (asked := await _asked(reader)) is not None:
            if not await self._answer(asked, writer):
                break

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        self.calls[asked.request_id] += 1
        kind, dice = kind_of(self.seed, asked.request_id, streamed=asked.streamed)
        odd_calls = 1 if kind.name.startswith("throttled") else ODD_CALLS
        if not asked.request_id.startswith("odd-") or self.calls[asked.request_id] > odd_calls:
            await asyncio.sleep(TAKES_S)
            return await say(proper(asked), writer)
        self.kinds[kind.name] += 1
        steps = [
            step.replace(b"TRAP", b"http://127.0.0.1:%d/v1/chat/completions" % self.trap_port)
            if kind.name == "redirects" and isinstance(step, bytes)
            else step
            for step in kind.make(dice, asked)
        ]
        return await say(steps, writer)

    async def _trap(self, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        self.trapped += 1


async def _asked(reader: asyncio.StreamReader) -> Asked | None:
    """The next request on a connection, or None at its end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))) or b"{}")
    return Asked(headers.get("x-client-request-id", ""), str(body.get("model")), bool(body.get("stream")))


async def say(steps: Sequence[Step], writer: asyncio.StreamWriter) -> bool:
    """Send an answer; whether its connection goes on."""
    flooding = False
    for step in steps:
        match step:
            case bytes() if flooding:
                for _time in range(max(1, FLOOD_BYTES_MAX // len(step))):
                    writer.write(step)
                    await writer.drain()
                    await asyncio.sleep(0)
                return False
            case bytes():
                writer.write(step)
                await writer.drain()
            case float() | int():
                await asyncio.sleep(step)
                if writer.is_closing():
                    return False
            case asyncio.Event():
                await step.wait()
            case "flood":
                flooding = True
            case "abort":
                writer.transport.abort()
                return False
            case _:
                return False
    return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(HostileServer(parser.parse_args().seed).run())
