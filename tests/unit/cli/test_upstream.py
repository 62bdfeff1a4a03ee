"""`headrace upstream` says what it cannot serve before it serves anything, and what it plays when it does."""

import asyncio
import json
import os
import signal

import pytest

from headrace.broker.cli import upstream
from headrace.broker.cli.main import main
from headrace.broker.simulator.behaviours.catalogue import spelled
from headrace.broker.simulator.drawn_server import drawn_server
from headrace.broker.simulator.upstream import Upstream, UpstreamSettings


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["upstream", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Traceback" not in told.err
    return told.err


@pytest.mark.parametrize("latency", ["soon", "4-1", "-1"])
def test_a_latency_that_is_none_is_said(latency: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "latency" in refusal(capsys, f"--latency={latency}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--stream-cut-rate", "0.6", "--stream-error-rate", "0.6"), "the rates of cut and of failing streams"),
        (("--behaviour", "bucket-6"), "there is no behaviour 'bucket-6'; did you mean 'bucket-6s'?"),
        (("--behaviours", "/nowhere.toml"), "/nowhere.toml cannot be read (No such file or directory)"),
        (("--behaviour", "random:-1"), "'random:-1' is not random:SEED, with a whole number of at most 18 digits"),
        (("--behaviour", "random:1", "--behaviour", "random:2"), "'random:1' and 'random:2' are two whole servers"),
        (("--behaviour", "random:1", "--behaviour", "bucket-6s"), "bucket-6s would have no effect"),
        (("--behaviour", "random:1", "--burst-s", "1"), "a hidden bucket (burst_s) would have no effect"),
        (("--behaviour", "random:1", "--law", "documented"), "--law and --latency have no place beside random:SEED"),
        (("--behaviour", "random:1", "--latency", "1-4"), "--law and --latency have no place beside random:SEED"),
        (("--seed", "9" * 40), "a seed is a whole number of at most 38 digits"),
    ],
)
def test_what_cannot_be_played_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refusal(capsys, *arguments)
    assert told.startswith(f"These options are not valid: {sentence}")
    assert told.count("\n") == 1


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upstream", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example: headrace upstream" in shown
    assert "--behaviour quantised-1s" in shown


def served(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Return what is printed by a server that is told to end as soon as it serves."""
    announce = upstream._announce

    def announced(server: Upstream, settings: UpstreamSettings, *, as_json: bool) -> None:
        announce(server, settings, as_json=as_json)
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(upstream, "_announce", announced)
    assert main(["upstream", "--port", "0", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("seed", range(20))
def test_a_drawn_server_is_served_with_its_own_limits_and_seed_and_says_what_it_plays(
    seed: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before: with 200,000 tokens and 500 requests a minute, so that its windows were not those that were drawn."""
    server = drawn_server(seed)
    told = json.loads(served(capsys, monkeypatch, "--json", "--behaviour", f"random:{seed}").splitlines()[0])
    assert (told["tokens_per_minute"], told["requests_per_minute"]) == (
        server.tokens_per_minute,
        server.requests_per_minute,
    )
    assert told["seed"] == seed
    assert told["behaviours"] == [spelled(each) for each in server.behaviours]
    page = served(capsys, monkeypatch, "--behaviour", f"random:{seed}")
    assert f"{server.tokens_per_minute:,} tokens and {server.requests_per_minute:,} requests per minute" in page
    assert all(f"    {spelled(each)}\n" in page for each in server.behaviours)


def test_limits_and_a_seed_that_are_given_take_precedence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ("--tokens-per-minute", "1000", "--requests-per-minute", "10", "--seed", "0")
    told = json.loads(served(capsys, monkeypatch, "--json", "--behaviour", "random:3", *given).splitlines()[0])
    assert (told["tokens_per_minute"], told["requests_per_minute"], told["seed"]) == (1_000, 10, 0)
    told = json.loads(served(capsys, monkeypatch, "--json").splitlines()[0])
    assert (told["tokens_per_minute"], told["requests_per_minute"], told["seed"]) == (200_000, 500, 7)
    assert told["behaviours"] == []
