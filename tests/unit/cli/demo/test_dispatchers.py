"""How the dispatchers are started, and what is said when one leaves."""

import asyncio
import sys
import tomllib
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from pathlib import Path

import pytest

from headrace.broker.cli.demo.dispatchers import DispatcherEnded, Dispatchers, Running, _environment, _settings
from headrace.broker.local.record import Endpoints
from headrace.broker.settings.load import load_settings

ENDPOINTS = Endpoints("127.0.0.1:29092", "redis://127.0.0.1:26379/0")


async def ended(code: int) -> Process:
    process = await create_subprocess_exec(sys.executable, "-c", f"raise SystemExit({code})")
    await process.wait()
    return process


async def running(directory: Path, log: str, code: int = 0) -> Running:
    (directory / "d.log").write_text(log, encoding="utf-8")
    return Running("dispatcher-1", directory / "d.log", await ended(code))


def test_the_settings_are_whole_and_say_nothing_about_the_limit(tmp_path: Path) -> None:
    config = tmp_path / "d.toml"
    config.write_text(_settings("dispatcher-1", ENDPOINTS, "http://127.0.0.1:1/v1"), encoding="utf-8")
    settings = load_settings(config, {}, environ={})
    assert settings.kafka.bootstrap_servers == ENDPOINTS.bootstrap_servers
    assert settings.redis.url.get_secret_value() == ENDPOINTS.redis_url
    assert (settings.openai.base_url, settings.dispatcher.http_host) == ("http://127.0.0.1:1/v1", "127.0.0.1")
    assert "limits" not in tomllib.loads(config.read_text(encoding="utf-8"))


def test_nothing_that_is_exported_reaches_them() -> None:
    environ = {"HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "prod:9092", "OPENAI_API_KEY": "sk-real", "PATH": "/bin"}
    assert _environment(environ) == {"PATH": "/bin"}


async def test_the_port_stands_in_the_log_once_it_listens(tmp_path: Path) -> None:
    early = await running(tmp_path, "Traceback?\n[1]\n")
    assert early.port() is None
    late = await running(tmp_path, 'noise\n{"event": "other"}\n{"port": 4711, "event": "listening"}\n{"eve')
    assert late.port() == 4711


async def test_when_none_is_left_the_last_one_is_named_with_its_last_lines(tmp_path: Path) -> None:
    pair = Dispatchers(tmp_path, ENDPOINTS, "http://127.0.0.1:1/v1")
    pair.running.append(await running(tmp_path, "".join(f"line {number}\n" for number in range(20)), code=2))
    with pytest.raises(DispatcherEnded, match=r"dispatcher-1 ended unexpectedly \(exit code 2\)") as raised:
        await pair.watch()
    assert raised.value.last_lines == tuple(f"line {number}" for number in range(14, 20))


async def test_one_that_is_killed_is_replaced_and_remembered(tmp_path: Path) -> None:
    pair = Dispatchers(tmp_path, ENDPOINTS, "http://127.0.0.1:1/v1")
    living = await create_subprocess_exec(sys.executable, "-c", "input()", stdin=PIPE)
    pair.running.append(await running(tmp_path, "killed\n", code=9))
    pair.running.append(Running("dispatcher-2", tmp_path / "d.log", living))
    watching = asyncio.create_task(pair.watch())
    await asyncio.sleep(0)
    assert not watching.done()
    assert [ended.last_lines for ended in pair.ended()] == [("killed",)]
    living.kill()
    with pytest.raises(DispatcherEnded, match="dispatcher-2"):
        await watching
