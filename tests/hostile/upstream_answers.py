"""Hostile answers by seed: what a server, a gateway or whoever stands between may send instead of an answer.

Each kind says which ends of its request are right. A request of the harness is tried once, so a failed attempt ends it
as `exhausted`. Answers that blame the account (401, 402, 403, an empty purse) are left out: those rest every limit by
design, and `tests/unit/core/budget/test_account.py` holds that.
"""

import gzip
import json
import random
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from tests.hostile.upstream_pieces import (
    MIB,
    Asked,
    Make,
    Step,
    bomb,
    completion,
    head,
    limit_headers,
    proper,
    refusal,
    weird,
    whole,
)
from tests.hostile.upstream_streams import (
    stream_after,
    stream_bomb,
    stream_drip,
    stream_endless,
    stream_long,
    stream_names,
    stream_odd,
)

OK: Final = frozenset({"completed"})
FAILED: Final = frozenset({"exhausted"})
FINAL: Final = frozenset({"rejected", "too_large"})
HEAVY: Final = frozenset({"too_large_for_topic"})
ODD: Final = frozenset({"completed", "exhausted", "rejected", "too_large", "too_large_for_topic", "deadline_exceeded"})
"""For what may be read either way: any proper end is right."""
WAITS: Final = ODD | {"parked"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of hostile answers: how often it comes, how its requests may end, and how it is made."""

    name: str
    weight: int
    ends: frozenset[str]
    make: Make


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
    data = bomb(dice.choice([64, 1_024, 10_240]), coding)
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
    Kind("odd events", 120, WAITS, stream_odd),
    Kind("long streams", 6, ODD, stream_long),
    Kind("names without number", 4, ODD, stream_names),
    Kind("endless streams", 3, ODD, stream_endless),
    Kind("streams that drip", 2, FAILED, stream_drip),
    Kind("bytes behind the end", 4, ODD, stream_after),
    Kind("bombs in streams", 3, ODD, stream_bomb),
)


def kind_of(seed: int, request_id: str, *, streamed: bool) -> tuple[Kind, random.Random]:
    """Which answer a request gets, and the dice that make it; the same for the same seed and id."""
    dice = random.Random(f"{seed} {request_id}")
    kinds = STREAMS if streamed and dice.random() < 0.8 else KINDS
    return dice.choices(kinds, [kind.weight for kind in kinds])[0], dice
