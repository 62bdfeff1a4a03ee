"""What hostile answers are made of: proper HTTP and proper answers, and values that nothing expects."""

import asyncio
import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

Step = bytes | float | str | asyncio.Event
"""Bytes to send, seconds or an event to wait for, or `close`, `abort` and `flood` (send the next bytes over and over until cut)."""

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """What the server knows of a request: its id, the model and whether a stream is asked for."""

    request_id: str
    model: str
    streamed: bool


Make = Callable[[random.Random, Asked], Sequence[Step]]


# ------------------------------------------------------------------------------------------------ what is proper


def completion(asked: Asked, **fields: Any) -> dict[str, Any]:
    """The proper answer to a request; it names the request, so that another's answer is found out."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": f"Answer to {asked.request_id}."},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    whole = {"id": "c", "object": "chat.completion", "model": asked.model, "choices": [choice], "usage": usage}
    return whole | fields


def head(status: int | str = 200, headers: Sequence[tuple[str, str]] = (), *, kind: str = "application/json") -> bytes:
    """A status line and headers, without the blank line's body."""
    lines = [f"HTTP/1.1 {status} Any", f"content-type: {kind}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def whole(
    body: Any, status: int | str = 200, headers: Sequence[tuple[str, str]] = (), *, kind: str = "application/json"
) -> list[Step]:
    """An answer with its length, as any server sends it."""
    data = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return [head(status, [("content-length", str(len(data))), *headers], kind=kind), data]


def proper(asked: Asked) -> list[Step]:
    """What a well-behaved server answers, streamed if that was asked for."""
    if not asked.streamed:
        return whole(completion(asked))
    return stream([*chunks(asked), "data: [DONE]\n\n"])


def chunks(asked: Asked) -> list[str]:
    """The events of a proper stream, without its end."""
    text = f"Answer to {asked.request_id}."
    parts = [{"role": "assistant"}, *({"content": text[at : at + 4]} for at in range(0, len(text), 4))]
    events: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": part}]} for part in parts]
    events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "model": asked.model}]
    return [event(each) for each in events]


def event(data: Any) -> str:
    """One event."""
    return f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"


def stream(events: Sequence[str | bytes], *, after: Sequence[Step] = ()) -> list[Step]:
    """A stream without a length, ended by the connection's end."""
    data = b"".join(each if isinstance(each, bytes) else each.encode("utf-8", "surrogatepass") for each in events)
    return [head(200, [("connection", "close")], kind="text/event-stream"), data, *after, "close"]


# ------------------------------------------------------------------------------------------------ hostile values


def weird(dice: random.Random) -> Any:
    """A value of any type where another one is expected."""
    return dice.choice(
        [
            None, True, False, 0, -1, 1, 10**18, -(10**30), 10**400, 1.5, -0.0, 1e308, "", "x", "12", "NaN", "\ud800",
            "\x00\x1b[31m", "x" * 5_000, [], [[]], [None], [1, "a", {}], {}, {"": {}}, {"a": [1]}, {"error": "x"},
            [[[[[]]]]], {"code": {"code": {}}}, ["choices"], {"message": "\u202e"},
        ]
    )  # fmt: skip


def number(dice: random.Random) -> str:
    """What stands in a header where a number is expected."""
    return dice.choice(
        [
            "0", "1", "-1", "-5", "+3", "NaN", "nan", "inf", "-inf", "1e999", "1e3", "٣٠٠", "３００", "1_000", "30,000",
            "0x10", "9" * 15, "9" * 30, "9" * 5_000, "", " ", "null", "true", "1.5", "999999999999999", "1;2", "1, 2",
            "100 ", "²", "00000000000000000001", "<html>", "%31", "1\x0b",
        ]
    )  # fmt: skip


def span(dice: random.Random) -> str:
    """What stands in a header where a duration or a date is expected."""
    return dice.choice(
        [
            "999999999999h", "999999999999h999999999999h", "1000000000000000d", "0", "0s", "-5s", "1e30s", "9" * 40 + "s",
            "1ms", "999999999999ms", "6m0s", "٣s", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 00 Jan 0000 00:00:00 GMT",
            "Mon, 39 Feb 2026 99:99:99 GMT", "99999999", "999999999999", "0.000000000001", "-1", "NaN", "1h" * 40, "1" * 13,
            "31536000", "86400",
        ]
    )  # fmt: skip


def limit_headers(dice: random.Random) -> list[tuple[str, str]]:
    """Rate-limit headers that contradict themselves, each other or arithmetic; some come twice."""
    made: list[tuple[str, str]] = []
    for kind in dice.sample(["tokens", "requests", "project-tokens", "project-requests", "input-images"], 3):
        for word in ("limit", "remaining", "reset"):
            if dice.random() < 0.85:
                usual = dice.random() < 0.4
                value = span(dice) if word == "reset" else str(dice.randrange(1, 10**9)) if usual else number(dice)
                made += [(f"x-ratelimit-{word}-{kind}", value)] * dice.choice([1, 1, 1, 2])
    if dice.random() < 0.5:
        made.append(("retry-after", span(dice)))
    if dice.random() < 0.3:
        made.append(("retry-after-ms", number(dice)))
    if dice.random() < 0.3:
        made.append(("date", span(dice)))
    return made


def refusal(dice: random.Random) -> dict[str, Any]:
    """The error of a 429 whose text states absurd numbers."""
    texts = [
        "Rate limit reached for m in organization o on tokens per min (TPM): Limit 1, Used 999999999999999, Requested 9.",
        "Rate limit reached for m on tokens per day (TPD): Limit 999999999999999, Used 0, Requested 1. Please try again in "
        "999999999999h.",
        "Rate limit reached for m on requests per min (RPM): Limit 0, Used 0, Requested 0. Please try again in 9" + "9" * 60,
        "Rate limit reached for m on requests per sec (RPS): Limit 1, Used 1, Requested 1. Please try again in 0s.",
        "Please try again in 99999999999999999999 days. Limit: 1,2,3,4", "Limit " * 400, "", "x" * 70_000,
        "Rate limit reached for default-gpt in organization o on tokens per min. Limit: 0.0 / min. Current: 1.0 / min.",
    ]  # fmt: skip
    return {
        "message": dice.choice(texts),
        "type": dice.choice(["tokens", "requests", "x"]),
        "code": "rate_limit_exceeded",
    }


def weird_name(dice: random.Random) -> str:
    """The name of a member that nobody expects."""
    return dice.choice(["", "index", "content", "x" * 1_000, "\ud800", "__class__"])


@lru_cache(maxsize=4)
def bomb(mib: int, wrapper: str) -> bytes:
    """A megabyte of blanks, deflated and repeated: about 1,030 bytes of output for each one sent."""
    made = zlib.compressobj(9, zlib.DEFLATED, 31 if wrapper == "gzip" else 15)
    text = b'{"choices": [], "x": "' + b" " * MIB
    start = made.compress(text) + made.flush(zlib.Z_FULL_FLUSH)
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = block.compress(b" " * MIB) + block.flush(zlib.Z_FULL_FLUSH)
    return start + once * mib
