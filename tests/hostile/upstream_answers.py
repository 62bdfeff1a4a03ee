"""Hostile answers by seed: what a server, a gateway or whoever stands between may send instead of an answer.

Each kind says which ends of its request are right. A request of the harness is tried once, so a failed attempt ends it
as `exhausted`. Answers that blame the account (401, 402, 403, an empty purse) are left out: those rest every limit by
design, and `tests/unit/core/test_account.py` holds that.
"""

import asyncio
import gzip
import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

Step = bytes | float | str | asyncio.Event
"""Bytes to send, seconds or an event to wait for, or `close`, `abort` and `flood` (send the next bytes over and over until cut)."""

OK: Final = frozenset({"completed"})
FAILED: Final = frozenset({"exhausted"})
FINAL: Final = frozenset({"rejected", "too_large"})
HEAVY: Final = frozenset({"too_large_for_topic"})
ODD: Final = frozenset({"completed", "exhausted", "rejected", "too_large", "too_large_for_topic", "deadline_exceeded"})
"""For what may be read either way: any proper end is right."""
WAITS: Final = ODD | {"parked"}

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """What the server knows of a request: its id, the model and whether a stream is asked for."""

    request_id: str
    model: str
    streamed: bool


Make = Callable[[random.Random, Asked], Sequence[Step]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of hostile answers: how often it comes, how its requests may end, and how it is made."""

    name: str
    weight: int
    ends: frozenset[str]
    make: Make


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


def _throttled(dice: random.Random, _: Asked) -> list[Step]:
    return whole({"error": refusal(dice)}, 429, limit_headers(dice))


# ------------------------------------------------------------------------------------------------ kinds


def _odd_body(dice: random.Random, _: Asked) -> list[Step]:
    texts = [
        "", "null", "true", "1", '"text"', "[]", "[1, 2]", "{", "}", "{}{}", '{"a":', "NaN", '{"a": NaN}', "Infinity",
        "<html><body>Bad gateway</body></html>", "\ufeff", "{'a': 1}", "//", "data: {}\n\n", '{"id": 1e400}',
    ]  # fmt: skip
    return whole(dice.choice(texts))


def _deep(dice: random.Random, asked: Asked) -> list[Step]:
    depth = dice.choice([100, 250, 1_000, 50_000, 400_000])
    opening, closing = dice.choice([("[", "]"), ('{"a":', "}")])
    inner = opening * depth + ("1" if opening != "[" else "") + closing * depth
    text = json.dumps(completion(asked))[:-1] + ', "deep": ' + inner + "}"
    return whole(text[: dice.choice([len(text), len(text) // 2])] if dice.random() < 0.2 else text)


def _digits(dice: random.Random, asked: Asked) -> list[Step]:
    digits = "9" * dice.choice([20, 400, 4_301, 100_000, 900_000])
    where = dice.choice(['"usage": {"prompt_tokens": %s}', '"x": %s', '"x": -%s', '"x": 0.%s', '"x": 1e%s'])
    return whole(json.dumps(completion(asked))[:-1] + ", " + where % digits + "}")


def _many_values(dice: random.Random, asked: Asked) -> list[Step]:
    item, count = dice.choice(
        [("[]", 300_000), ("{}", 300_000), ("0", 450_000), ('""', 300_000), ('{"a":[]}', 100_000)]
    )
    return whole(json.dumps(completion(asked))[:-1] + ', "many": [' + ",".join([item] * count) + "]}")


def _weird_fields(dice: random.Random, asked: Asked) -> list[Step]:
    fields = dice.sample(["id", "object", "model", "choices", "usage", "output", "created", "data", "status"], 2)
    answer = completion(asked) | {field: weird(dice) for field in fields}
    return whole(json.dumps(answer).replace('"\\ud800"', '"\\ud800"'))


def _weird_usage(dice: random.Random, asked: Asked) -> list[Step]:
    names = ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"]
    usage = {name: weird(dice) for name in names} if dice.random() < 0.8 else weird(dice)
    if dice.random() < 0.3:
        usage = {"prompt_tokens": {"x": 1}, "prompt_tokens_details": {"cached_tokens": weird(dice)}}
    return whole(completion(asked, usage=usage))


def _weird_choice(dice: random.Random, asked: Asked) -> list[Step]:
    choice = {"index": weird(dice), "message": weird(dice), "finish_reason": weird(dice), "logprobs": weird(dice)}
    return whole(completion(asked, choices=[choice, weird(dice)]))


def _duplicate_keys(_: random.Random, asked: Asked) -> list[Step]:
    text = json.dumps(completion(asked))
    return whole('{"usage": "x", "choices": 7, ' + text[1:])


def _charset(dice: random.Random, asked: Asked) -> list[Step]:
    text = json.dumps(completion(asked, note="Grüße, 世界"), ensure_ascii=False)
    charset = dice.choice(
        ["utf-16", "utf-32", "latin-1", "hex", "base64", "rot13", "idna", "punycode", "unicode_escape", "undefined", "zlib",
         "utf-7", "\x00", "x" * 3_000, "mbcs", "bz2", "uu", "quopri", "raw_unicode_escape"]
    )  # fmt: skip
    coding = dice.choice(["utf-8", "utf-8-sig", "utf-16", "utf-32"])
    return whole(text.encode(coding), kind=f"application/json; charset={charset}")


def _long_model(dice: random.Random, asked: Asked) -> list[Step]:
    return whole(completion(asked, model=dice.choice(["m" * MIB, "\x00\x1b[2J\u202e" * 50, "\ud800", "m\n" * 900])))


def _error_body(dice: random.Random, _: Asked) -> list[Step]:
    status = dice.choice([400, 404, 409, 418, 422, 451, 500, 502, 503, 504, 599])
    error: Any = weird(dice)
    if dice.random() < 0.7:
        error = {name: weird(dice) for name in ("message", "type", "param", "code", "innererror", "status")}
    body = dice.choice([{"error": error}, error, [{"error": error}], {"detail": error}, {"message": error}])
    return whole(body, status, limit_headers(dice))


def _nested_error(dice: random.Random, _: Asked) -> list[Step]:
    body: Any = "x"
    for _level in range(dice.choice([3, 5, 12])):
        body = {"error": {"message": json.dumps(body)}}
    return whole(body, dice.choice([200, 400, 500]))


def _limits(dice: random.Random, asked: Asked) -> list[Step]:
    return whole(completion(asked), 200, limit_headers(dice))


def _status(dice: random.Random, asked: Asked) -> list[Step]:
    odd = [201, 202, 203, 206, 207, 226, 299, 300, 304, 305, 306, 399, 405, 406, 410, 413, 414, 415, 421, 425, 431, 451, 499,
           501, 505, 507, 508, 511, 529, 530, 599, 600, 700, 999]  # fmt: skip
    return whole(completion(asked) if dice.random() < 0.5 else "", dice.choice(odd), limit_headers(dice))


def _status_line(dice: random.Random, _: Asked) -> list[Step]:
    line = dice.choice(
        [b"HTTP/1.1 abc OK", b"HTTP/1.1", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/9.9 200 OK", b"ICY 200 OK",
         b"HTTP/1.1 -1 OK", b"HTTP/1.1 000 X", b"HTTP/0.9 200 OK", b"http/1.1 200 ok", b"HTTP/1.1 \xd9\xa3\xd9\xa0\xd9\xa0 OK",
         b"HTTP/1.1 200 " + b"x" * 20_000, b"HTTP/1.1 099 X", b"HTTP/2.0 200 OK", b"HTTP/1.1  200  OK"]
    )  # fmt: skip
    return [line + b"\r\ncontent-length: 2\r\n\r\n{}", "close"]


def _no_http(dice: random.Random, _: Asked) -> list[Step]:
    return [
        dice.choice(
            [b"", b"\x00" * 5_000, b"SSH-2.0-OpenSSH_9.7\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"* OK IMAP4rev1\r\n",
             b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", dice.randbytes(3_000), b"\r\n" * 3_000, b"POST / HTTP/1.1\r\nhost: x\r\n\r\n",
             b"{}", b"220 smtp\r\n"]
        ),
        "close",
    ]  # fmt: skip


def _odd_headers(dice: random.Random, asked: Asked) -> list[Step]:
    odd = [
        [("x-request-id", weirdly)] for weirdly in ["", "x" * 7_000, "a b", "\x1b[31m", "é", "req\t1", '"', "../../x"]
    ] + [
        [("x-request-id", "a"), ("x-request-id", "b")],
        [("set-cookie", f"c{dice.random()}=x; domain=localhost"), ("set-cookie", "\x01=;;;")],
        [("content-type", "application/json")] * 20,
        [("content-encoding", dice.choice(["identity", "br", "zstd", "compress", "x", "gzip, gzip, gzip", "aws-chunked", ""]))],
        [("x" * 7_000, "y")], [("a b", "c")], [("", "c")], [("x", "y\x00z")], [("upgrade", "h2c"), ("connection", "upgrade")],
        [("trailer", "x"), ("te", "x")], [("content-length", "5")], [("content-length", "-1")], [("x", "é" * 100)],
        [("content-range", "bytes 0-1/9")], [("transfer-encoding", "gzip")], [("transfer-encoding", "chunked")],
    ]  # fmt: skip
    return whole(completion(asked), 200, dice.choice(odd))


def _many_headers(dice: random.Random, asked: Asked) -> list[Step]:
    return whole(
        completion(asked),
        200,
        [(f"x-{at}", "y" * dice.choice([1, 500])) for at in range(dice.choice([90, 140, 5_000]))],
    )


def _endless_headers(dice: random.Random, _: Asked) -> list[Step]:
    line = dice.choice([b"x-more: and more\r\n" * 200, b"x" * 8_000, b" folded\r\n" * 300])
    return [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n", "flood", line]


def _interim_flood(_: random.Random, __: Asked) -> list[Step]:
    return ["flood", b"HTTP/1.1 100 Continue\r\n\r\n" * 100]


def _interim(dice: random.Random, asked: Asked) -> list[Step]:
    before = dice.choice(
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", b"HTTP/1.1 102 P\r\n\r\n"]
    )
    return [before * dice.choice([1, 3, 50]), *whole(completion(asked))]


def _switching(dice: random.Random, _: Asked) -> list[Step]:
    return [
        b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n" + dice.randbytes(2_000),
        0.05,
        "close",
    ]


def _length(dice: random.Random, asked: Asked) -> list[Step]:
    data = json.dumps(completion(asked)).encode()
    length = dice.choice(
        [str(len(data) + 100), str(len(data) - 20), "0", "9" * 18, "9" * 30, "+5", "5, 6", "0x10", "", "٣"]
    )
    return [head(200, [("content-length", length)]), data, "close"]


def _chunked(dice: random.Random, asked: Asked) -> list[Step]:
    data = json.dumps(completion(asked)).encode()
    parts = dice.choice(
        [[b"zz\r\n" + data], [b"fffffffffffffffff\r\n" + data], [b"5;" + b"e" * 20_000 + b"\r\nhello\r\n0\r\n\r\n"],
         [b"-5\r\n" + data], [b"%x\r\n" % len(data), data], [b"%x\r\n" % len(data), data, b"XX0\r\n\r\n"],
         [b"1\r\n%c\r\n" % each for each in data] + [b"0\r\n\r\n"],
         [b"%x\r\n" % len(data), data, b"\r\n0\r\n", b"x-trailer: y\r\n" * 500, b"\r\n"], [b"\r\n\r\n\r\n"]]
    )  # fmt: skip
    return [head(200, [("transfer-encoding", "chunked")]), b"".join(parts), "close"]


def _both_lengths(_: random.Random, asked: Asked) -> list[Step]:
    data = json.dumps(completion(asked)).encode()
    return [
        head(200, [("transfer-encoding", "chunked"), ("content-length", "3")]),
        b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data),
    ]


def _cut(dice: random.Random, asked: Asked) -> list[Step]:
    """Before the end; a stream before the event that says why its answer ended, behind which it is whole."""
    sent = b"".join(step for step in proper(asked) if isinstance(step, bytes))
    end = sent.index(b'"finish_reason": "stop"') if asked.streamed else len(sent) - 1
    return [sent[: dice.randrange(end)], dice.choice(["close", "abort"])]


def _no_body(dice: random.Random, asked: Asked) -> list[Step]:
    """A status that has no body, with one, on a connection that stays: what follows may be taken for another's answer."""
    data = json.dumps(completion(Asked("poison", asked.model, streamed=False))).encode()
    return [head(dice.choice([204, 304]), [("content-length", str(len(data)))]), data]


def _poison(dice: random.Random, asked: Asked) -> list[Step]:
    """A proper answer, and behind it one that nobody asked for."""
    first = b"".join(step for step in whole(completion(asked)) if isinstance(step, bytes))
    second = b"".join(
        step for step in whole(completion(Asked("poison", asked.model, streamed=False))) if isinstance(step, bytes)
    )
    return [first + second] if dice.random() < 0.5 else [first[:-7], 0.02, first[-7:] + second]


def _redirect(dice: random.Random, _: Asked) -> list[Step]:
    where = dice.choice(
        ["TRAP", "TRAP", "/v1/chat/completions", "file:///etc/passwd", "//", "", "http://[::1", "x" * 5_000, "é"]
    )
    return whole("", dice.choice([301, 302, 303, 307, 308]), [("location", where)])


def _large(dice: random.Random, asked: Asked) -> list[Step]:
    note = "x" * dice.choice([1_100_000, 3 * MIB, 10 * MIB])
    return whole(completion(asked, note=note))


def _large_error(dice: random.Random, _: Asked) -> list[Step]:
    return whole(
        {"error": {"message": "x" * dice.choice([MIB, 10 * MIB]), "code": "x" * 90_000}}, dice.choice([400, 500, 503])
    )


def _endless_body(dice: random.Random, asked: Asked) -> list[Step]:
    opening = json.dumps(completion(asked))[:-1].encode() + b', "x": "'
    return [head(dice.choice([200, 400, 500]), [("connection", "close")]), opening, "flood", b"x" * 60_000]


@lru_cache(maxsize=4)
def _bomb(mib: int, wrapper: str) -> bytes:
    """A megabyte of blanks, deflated and repeated: about 1,030 bytes of output for each one sent."""
    made = zlib.compressobj(9, zlib.DEFLATED, 31 if wrapper == "gzip" else 15)
    text = b'{"choices": [], "x": "' + b" " * MIB
    start = made.compress(text) + made.flush(zlib.Z_FULL_FLUSH)
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = block.compress(b" " * MIB) + block.flush(zlib.Z_FULL_FLUSH)
    return start + once * mib


@lru_cache(maxsize=2)
def _silent_bomb() -> bytes:
    """Gzip in gzip: the inner one is a gigabyte of empty blocks, which inflate to nothing and take seconds."""
    inner = zlib.compressobj(9, zlib.DEFLATED, 31)
    empty = inner.compress(b"") + inner.flush(zlib.Z_SYNC_FLUSH)
    outer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = outer.compress(empty) + outer.flush(zlib.Z_FULL_FLUSH)
    block = zlib.compressobj(9, zlib.DEFLATED, -15)
    once = block.compress(b"\x00\x00\x00\xff\xff" * (MIB // 5)) + block.flush(zlib.Z_FULL_FLUSH)
    return start + once * 1_000


def _bombs(dice: random.Random, _: Asked) -> list[Step]:
    coding = dice.choice(["gzip", "deflate"])
    data = _bomb(dice.choice([64, 1_024, 10_240]), coding)
    return whole(data, dice.choice([200, 200, 400, 500]), [("content-encoding", coding)])


def _silent_bombs(dice: random.Random, _: Asked) -> list[Step]:
    coding = dice.choice(["gzip, gzip", "gzip,gzip"])
    return whole(_silent_bomb(), 200, [("content-encoding", coding)])


def _zipped(dice: random.Random, asked: Asked) -> list[Step]:
    data = json.dumps(completion(asked)).encode()
    zipped = gzip.compress(data)
    sent, coding = dice.choice(
        [(zipped, "gzip"), (zlib.compress(data), "deflate"), (zipped[:-9], "gzip"), (zipped + b"rest", "gzip"), (data, "gzip"),
         (b"", "gzip"), (zipped, "deflate"), (gzip.compress(zipped), "gzip, gzip"), (zipped * 3, "gzip"), (zipped, "GZIP"),
         (zlib.compress(data)[2:-4], "deflate")]
    )  # fmt: skip
    return whole(sent, 200, [("content-encoding", coding)])


def _drip(dice: random.Random, asked: Asked) -> list[Step]:
    """A byte now and then: each one resets a time-out that only bounds silences."""
    sent = b"".join(step for step in proper(asked) if isinstance(step, bytes))
    start = dice.choice([0, 0, sent.index(b"\r\n\r\n") + 4])
    every: list[Step] = [part for at in range(start, len(sent) - 1) for part in (0.3, sent[at : at + 1])]
    return [sent[:start], *every] if start else every


def _silent(dice: random.Random, _: Asked) -> list[Step]:
    return [dice.choice([b"", b"HTTP/1.1 200 OK\r\n", head(200, [("content-length", "500")])]), 60.0]


# ------------------------------------------------------------------------------------------------ streams


def _stream_odd(dice: random.Random, asked: Asked) -> list[Step]:
    good = chunks(asked)
    odd = [
        event("{"), event("null"), event("[]"), event("1"), event('"x"'), "data\n\n", ":\n\n", "\n\n\n", "event: x\n\n", "id: \x00\n\n",
        "retry: 99999999999999999999\n\n", "retry: x\n\n", event({"choices": 7}), event({"choices": [7, None, [], "x"]}),
        event({"error": None}), event({"error": weird(dice)}), event({"object": "error", "message": weird(dice)}),
        event({"type": "error", "code": weird(dice)}), event({"choices": [{"index": weird(dice), "delta": weird(dice)}]}),
        event({"choices": [{"index": 10**9, "delta": {"content": "x"}, "finish_reason": "stop"}]}),
        event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 10**9, "function": {"arguments": "x"}}]}}]}),
        event({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": weird(dice)}, weird(dice)]}}]}),
        event({"choices": [{"index": 0, "delta": {"content": weird(dice)}}]}), event({"id": weird(dice), "model": weird(dice)}),
        event({"choices": [{"index": 0, "delta": {"content": "x" * 5_000_000}}]}), event("[" * 50_000), event('{"x": ' + "9" * 9_000 + "}"),
        b"data: \xff\xfe\n\n", b"\xff\xff\xff\n\n", event('{"choices": [{"index": 0, "delta": {"content": "\\ud83d"}}]}'),
        event({"usage": weird(dice), "choices": []}), "data: [DONE]\n\n", "data: [DONE] and more\n\n", "event: thread.x\ndata: {}\n\n",
        event({"choices": [{"index": 0, "delta": {}, "logprobs": weird(dice), "finish_reason": weird(dice)}]}),
        event({"choices": [{"index": 0, "delta": {"content": None, "role": weird(dice), weird_name(dice): weird(dice)}}]}),
    ]  # fmt: skip
    for _time in range(dice.choice([1, 3])):
        good.insert(dice.randrange(len(good) + 1), dice.choice(odd))  # type: ignore[arg-type]
    end = dice.choice([["data: [DONE]\n\n"], [], ["data: [DONE]\n\n", *good], ["data: [DONE]"]])
    return stream([*good, *end])


def weird_name(dice: random.Random) -> str:
    """The name of a member that nobody expects."""
    return dice.choice(["", "index", "content", "x" * 1_000, "\ud800", "__class__"])


def _stream_long(dice: random.Random, asked: Asked) -> list[Step]:
    unit = dice.choice(
        [b":\n\n", b"data: {}\n\n", b"data: " + b"x" * 3_000, b"\n", b"data: x\n", b'data: {"choices": []}\n\n',
         b'data: {"choices": [{"index": 0, "delta": {"content": "word "}}]}\n\n']
    )  # fmt: skip
    return stream(chunks(asked)[:2], after=[unit * (300_000 // len(unit))] * dice.choice([3, 20]))


def _stream_names(_: random.Random, asked: Asked) -> list[Step]:
    """Each event brings a member, a choice and a call of a tool that no other had."""
    events = [
        event({f"name{at}": "x" * 20, "choices": [{"index": at, "delta": {"tool_calls": [{"index": at, "id": "x"}]}}]})
        for at in range(8_000)
    ]
    return stream([*chunks(asked)[:2], *events, "data: [DONE]\n\n"])


def _stream_endless(dice: random.Random, asked: Asked) -> list[Step]:
    unit = dice.choice(
        [b": still here\n\n", b"data: " + b"x" * 60_000, b"x" * 60_000, event({"choices": []}).encode() * 500]
    )
    return [head(200, [("connection", "close")], kind="text/event-stream"), chunks(asked)[0].encode(), "flood", unit]


def _stream_drip(dice: random.Random, _: Asked) -> list[Step]:
    unit = dice.choice([b":\n\n", event({"choices": [{"index": 0, "delta": {"content": "x"}}]}).encode()])
    steps: list[Step] = [head(200, [("connection", "close")], kind="text/event-stream")]
    for _time in range(200):
        steps += [0.3, unit]
    return steps


def _stream_after(_: random.Random, asked: Asked) -> list[Step]:
    """The end has come, and bytes follow without end."""
    return [*stream([*chunks(asked), "data: [DONE]\n\n"])[:2], "flood", b": more\n\n" * 2_000]


def _stream_bomb(dice: random.Random, _: Asked) -> list[Step]:
    coding = dice.choice(["gzip", "deflate"])
    return whole(_bomb(dice.choice([64, 1_024]), coding), 200, [("content-encoding", coding)], kind="text/event-stream")


KINDS: Final = (
    Kind("a body that is no answer", 60, ODD, _odd_body),
    Kind("nested deep", 15, ODD, _deep),
    Kind("endless digits", 25, ODD, _digits),
    Kind("values without number", 6, ODD, _many_values),
    Kind("fields of other types", 80, ODD, _weird_fields),
    Kind("usage of other types", 60, OK, _weird_usage),
    Kind("choices of other types", 60, ODD, _weird_choice),
    Kind("keys twice", 10, OK, _duplicate_keys),
    Kind("charsets", 40, ODD, _charset),
    Kind("a long model", 8, ODD, _long_model),
    Kind("errors of other types", 80, WAITS, _error_body),
    Kind("errors in errors", 20, WAITS, _nested_error),
    Kind("throttled by absurd numbers", 60, WAITS, _throttled),
    Kind("limits by absurd numbers", 80, OK, _limits),
    Kind("statuses", 60, WAITS, _status),
    Kind("status lines", 40, ODD, _status_line),
    Kind("no HTTP", 40, FAILED, _no_http),
    Kind("odd headers", 60, ODD, _odd_headers),
    Kind("many headers", 10, ODD, _many_headers),
    Kind("endless headers", 6, FAILED, _endless_headers),
    Kind("a flood of 1xx", 2, FAILED, _interim_flood),
    Kind("1xx before the answer", 15, ODD, _interim),
    Kind("another protocol", 10, FAILED, _switching),
    Kind("wrong lengths", 50, ODD, _length),
    Kind("chunked garbage", 50, ODD, _chunked),
    Kind("two lengths", 10, ODD, _both_lengths),
    Kind("cut off", 50, FAILED, _cut),
    Kind("no body, and one", 20, FAILED, _no_body),
    Kind("two answers", 40, OK, _poison),
    Kind("redirects", 30, ODD, _redirect),
    Kind("large", 5, HEAVY, _large),
    Kind("a large error", 5, WAITS, _large_error),
    Kind("an endless body", 4, HEAVY | WAITS, _endless_body),
    Kind("bombs", 6, HEAVY | WAITS, _bombs),
    Kind("silent bombs", 2, FAILED, _silent_bombs),
    Kind("compressed oddly", 30, ODD, _zipped),
    Kind("drips", 3, FAILED, _drip),
    Kind("silence", 2, FAILED, _silent),
)
STREAMS: Final = (
    Kind("odd events", 120, WAITS, _stream_odd),
    Kind("long streams", 6, ODD, _stream_long),
    Kind("names without number", 4, ODD, _stream_names),
    Kind("endless streams", 3, ODD, _stream_endless),
    Kind("streams that drip", 2, FAILED, _stream_drip),
    Kind("bytes behind the end", 4, ODD, _stream_after),
    Kind("bombs in streams", 3, ODD, _stream_bomb),
)


def kind_of(seed: int, request_id: str, *, streamed: bool) -> tuple[Kind, random.Random]:
    """Which answer a request gets, and the dice that make it; the same for the same seed and id."""
    dice = random.Random(f"{seed} {request_id}")
    kinds = STREAMS if streamed and dice.random() < 0.8 else KINDS
    return dice.choices(kinds, [kind.weight for kind in kinds])[0], dice
