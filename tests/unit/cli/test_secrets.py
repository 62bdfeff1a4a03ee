"""No verb prints a secret, nor four characters of it, wherever it stands and whatever is in it."""

import asyncio
import json
import random
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from headrace.broker.adapters.redis.lease import RedisLease
from headrace.broker.cli.main import main
from headrace.broker.errors import LeaseUnavailable, RightsError
from tests.tcp_server import tcp_server

ODD = (
    "/",
    "#",
    "?",
    "@",
    ":",
    "%",
    "&",
    "=",
    "+",
    "[",
    "]",
    "\\",
    '"',
    " ",
    "'",
    "{",
    "$",
    "ü",
    "℀",
    "\u202e",
    "\t",
    "%2f",
)

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
SHAPES = ("%s", "redis:/%s", "redis://:%s", "redis://:%s@127.0.0.1:port/0", "redis://u:%s@127.0.0.1:1/0?nonsense=1")
"""What may be mistaken for a redis.url, beside those that are right."""


def password(seed: int) -> str:
    """Groups of letters and digits that no sentence holds, parted by what URLs, TOML and terminals read otherwise."""
    dice = random.Random(seed)
    groups = ["".join(dice.choice(LETTERS) + str(dice.randrange(10)) for _ in range(2)) for _ in range(4)]
    return "".join(group + odd for group, odd in zip(groups, dice.sample(ODD, 4), strict=True)) + "Zq9"


def parts(secret: str) -> set[str]:
    return {form[at : at + 4] for form in (secret, quote(secret, safe="")) for at in range(len(form) - 3)}


def settings_with(secret: str) -> Iterator[str]:
    """Settings files that hold the secret in each place where one may stand, or is put by mistake."""
    encoded = quote(secret, safe="")
    for login in (f":{secret}", f"user:{secret}", secret, f":{encoded}"):
        yield f"[redis]\nurl = {json.dumps(f'redis://{login}@127.0.0.1:1/0')}"
        yield f"[redis]\nurl = {json.dumps(f'unix://{login}@/nowhere/redis.sock')}"
    yield f"[redis]\nurl = {json.dumps(f'redis://127.0.0.1:1/0?password={encoded}')}"
    for shape in SHAPES:
        without = (
            secret.replace("@", "!") if shape == "redis://:%s" else secret
        )  # behind an @ stands a host by any rule
        yield f"[redis]\nurl = {json.dumps(shape % without)}"
    for form in (secret, encoded):
        yield f"[openai]\nbase_url = {json.dumps(f'http://user:{form}@127.0.0.1:1/v1?sig={encoded}')}"
    sasl = '[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"\nusername = "u"\n'
    for kafka in ("password = %s", "password = [%s]", "passwrod = %s", "password_file = %s", "password.x = %s"):
        yield sasl + kafka % json.dumps(secret)
    for openai in ("api_key = %s", "api_key = [%s]", "api_kye = %s", "api_key_file = %s"):
        yield f"[openai]\n{openai % json.dumps(secret)}"
    yield f"redis = {json.dumps(secret)}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("verb", [["check"], ["check", "--json"], ["show"], ["show", "--json"]], ids=" ".join)
def test_nothing_that_is_said_of_settings_holds_a_part_of_a_secret(
    verb: list[str], seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret, config = password(seed), tmp_path / "headrace.toml"
    for text in settings_with(secret):
        config.write_text(text, encoding="utf-8")
        main(["config", *verb, "--config", str(config), "--debug"])
        said = "".join(capsys.readouterr())
        assert said
        assert [part for part in parts(secret) if part in said] == [], (text, said)


def unreachable(tmp_path: Path, secret: str) -> Path:
    """Settings that are right, of a Kafka and a Redis that are not there."""
    config = tmp_path / "headrace.toml"
    config.write_text(
        '[kafka]\nbootstrap_servers = "127.0.0.1:1"\nsecurity_protocol = "SASL_PLAINTEXT"\nsasl_mechanism = "PLAIN"\n'
        f'username = "u"\npassword = {json.dumps(secret)}\n'
        f"[redis]\nurl = {json.dumps(f'redis://:{secret}@127.0.0.1:1/0')}\n"
        '[openai]\napi_key = "sk-Zq9Xw8Vt7"\n[dispatcher]\nhttp_port = 0\n',
        encoding="utf-8",
    )
    return config


@pytest.mark.parametrize(
    "verb", [["status", "--timeout", "0.3"], ["topics", "check", "--timeout", "0.3"]], ids=" ".join
)
def test_a_verb_that_reaches_nothing_says_so_without_a_secret(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = password(7)
    assert main([*verb, "--config", str(unreachable(tmp_path, secret)), "--debug"]) in {2, 3}
    said = "".join(capsys.readouterr())
    assert [part for part in {*parts(secret), *parts("sk-Zq9Xw8Vt7")} if part in said] == [], said


@pytest.mark.slow
async def test_a_dispatcher_that_waits_for_kafka_logs_no_secret(tmp_path: Path) -> None:
    secret = password(8)
    config = unreachable(tmp_path, secret)
    command = (sys.executable, "-m", "headrace.broker.cli.main", "dispatcher", "--config", str(config), "--debug")
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    assert process.stderr is not None
    lines = [(await process.stderr.readline()).decode() for _ in range(2)]
    process.send_signal(signal.SIGTERM)
    out, error = await process.communicate()
    said = "".join([*lines, out.decode(), error.decode()])
    assert "waiting_for_kafka" in said
    assert [part for part in {*parts(secret), *parts("sk-Zq9Xw8Vt7")} if part in said] == [], said


@pytest.mark.parametrize("code", ["ERR", "NOPERM"])
async def test_a_redis_that_repeats_what_it_was_sent_is_quoted_without_it(code: str) -> None:
    answer = f"-{code} unknown command 'AUTH', with args beginning with: 'default' 'hushhush' \r\n".encode()

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(answer)
            await writer.drain()

    async with tcp_server(repeat) as port:
        lease = RedisLease(f"redis://:hushhush@127.0.0.1:{port}/0", "k", ttl_ms=2_000, token="t")
        with pytest.raises((LeaseUnavailable, RightsError)) as raised:
            await lease.check()
        await lease.close()
    assert "unknown command 'AUTH'" in str(raised.value)
    assert "hush" not in str(raised.value)
    assert raised.value.__cause__ is None
