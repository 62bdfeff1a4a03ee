import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import aiohttp
import pytest

PROGRAM = "import typer; from headrace.broker.cli.upstream import upstream; typer.run(upstream)"

pytestmark = pytest.mark.timeout(30)  # each starts a process of its own


async def started(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, *arguments, stdout=PIPE, stderr=PIPE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_until_it_is_told_to_stop_and_ends_with_0(number: signal.Signals) -> None:
    process = await started("--port", "0", "--latency", "0", "--json", "--models", "a, b")
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    body = {"model": "a", "messages": [{"role": "user", "content": "Hello"}]}
    async with (
        aiohttp.ClientSession(headers={"authorization": "Bearer x"}) as http,
        http.post(f"{told['base_url']}/chat/completions", json=body) as answer,
    ):
        assert answer.status == 200
    process.send_signal(number)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert json.loads(out)["completed"] == 1


async def test_it_tells_a_person_how_to_use_it_and_what_it_counted() -> None:
    process = await started("--port", "0", "--latency", "1-4")
    assert process.stdout is not None
    first = (await process.stdout.readline()).decode()
    assert first.startswith("A simulated OpenAI serves at http://127.0.0.1:")
    await process.stdout.readuntil(b"OPENAI_API_KEY=anything")
    process.terminate()
    out, _ = await process.communicate()
    assert b"Stopped: 0 calls" in out
    assert process.returncode == 0


async def test_a_taken_port_is_one_sentence_and_exit_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = await started("--port", str(taken.getsockname()[1]))
        out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert err.decode().startswith("Cannot listen on 127.0.0.1:")
    assert err.count(b"\n") == 1


async def test_trouble_comes_as_it_was_ordered() -> None:
    process = await started("--port", "0", "--json", "--long-429-rate", "1", "--long-429-s", "7")
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    body = {"model": "a", "messages": [{"role": "user", "content": "Hello"}]}
    async with (
        aiohttp.ClientSession(headers={"authorization": "Bearer x"}) as http,
        http.post(f"{told['base_url']}/chat/completions", json=body) as answer,
    ):
        assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    process.terminate()
    out, _ = await process.communicate()
    assert json.loads(out)["throttled_long"] == 1


async def test_behaviours_come_by_name_and_by_file(tmp_path: Path) -> None:
    file = tmp_path / "evening.toml"
    file.write_text('[[behaviour]]\nname = "bucket-1s"\n\n[[behaviour]]\nname = "azure"\n', encoding="utf-8")
    process = await started("--port", "0", "--latency", "0", "--behaviours", str(file), "--behaviour", "bucket-6s")
    assert process.stdout is not None
    told = (await process.stdout.readuntil(b"OPENAI_API_KEY=anything")).decode()
    assert "unless overridden by:\n    bucket-1s\n    azure\n    bucket-6s\n" in told
    body = {"model": "a", "messages": [{"role": "user", "content": "Hello"}]}
    async with (
        aiohttp.ClientSession(headers={"authorization": "Bearer x"}) as http,
        http.post(f"{told.split()[5]}/chat/completions", json=body) as answer,
    ):
        assert answer.headers["x-ratelimit-limit-tokens"] == "20000"
        assert answer.headers["x-ratelimit-reset-tokens"].isdigit()
    process.terminate()
    await process.communicate()
    assert process.returncode == 0
