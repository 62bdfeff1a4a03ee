"""Hostile records by seed: what may stand on a lane that no client of ours would write, and what must become of each.

An id is `<prefix>-<number>`, so that a run of any length has an outcome to look for under each. `FATES`: `answered` (a
Completed, whatever is odd about the record), `failed` (a Failed and a dead letter, since an id can be told), `dead
letter` (none can be told). Nothing here is random but by the `Random` that is passed in.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from headrace.schemas.record import Record

MODEL: Final = "gpt-4o-mini"
ANSWERED, FAILED, DEAD_LETTER = "answered", "failed", "dead letter"
FATES: Final = (ANSWERED, FAILED, DEAD_LETTER)
STRUCTURED: Final = ("content-type", b"application/cloudevents+json")
Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Specimen:
    """A record; its headers may have null values, as Kafka allows.

    Attributes:
        kind: What is odd about it.
        fate: One of `FATES`.
        id: Of its request; None if none can be told.
        run: Of its outcome.
    """

    kind: str
    fate: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    id: str | None
    run: int = 0

    @property
    def record(self) -> Record:
        """As the door would get it from aiokafka: null header values included."""
        headers: Any = self.headers
        return Record(self.key, self.value, headers)


@dataclass(frozen=True, slots=True)
class _Odd:
    """What a kind makes of a request: bytes of its own, or fields that are laid over a proper one."""

    fields: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    value: bytes | None = None
    headers: Headers = ()
    key: bytes | None = None
    run: int = 0
    bare: bool = False  # the value is `value`, also if that is None


Make = Callable[[Random, str], _Odd]


def specimen(dice: Random, number: int, *, prefix: str = "hostile", kinds: Sequence[str] | None = None) -> Specimen:
    """One record of a kind drawn at random."""
    kind = dice.choice(kinds if kinds is not None else NAMES)
    fate, make = KINDS[kind]
    request_id = f"{prefix}-{number}"
    odd = make(dice, request_id)
    value = odd.value if odd.bare else _proper(dice, request_id, odd)
    told = None if fate == DEAD_LETTER else request_id
    return Specimen(kind, fate, odd.key, value, tuple(odd.headers), told, odd.run)


def _proper(dice: Random, request_id: str, odd: _Odd) -> bytes:
    body = {"model": MODEL, "messages": [{"role": "user", "content": f"Write to {request_id}."}], **(odd.body or {})}
    fields = {"id": request_id, "body": body, **(odd.fields or {})}
    return json.dumps(fields, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")


# ------------------------------------------------------------------------------------------------ values of all kinds


def digits(dice: Random) -> int:
    """A whole number that no one expects, of as many digits as Python reads."""
    size = dice.choice([16, 19, 20, 30, 309, 310, 1_000, 4_299, 4_300])
    return int("9" * size) * dice.choice([1, -1])


def weird(dice: Random) -> Any:
    """A value where another one is expected."""
    return dice.choice(
        [None, True, False, 0, -1, 1.5, 1e308, -1e308, 5e-324, "", "x", "12", "\x00", "\u202e", "😀" * 50, [], {}, [[]],
         [None, {}], {"": {}}, {"a": [1, "b", None]}, 2**63, -(2**63), "9" * 400, digits(dice)]
    )  # fmt: skip


def nested(levels: int, *, of: str = "[") -> str:
    """JSON text of so many levels."""
    return "[" * levels + "]" * levels if of == "[" else '{"a":' * levels + "0" + "}" * levels


def junk(dice: Random, size_max: int) -> bytes:
    """Any bytes."""
    return dice.randbytes(dice.randrange(size_max))


def _odd_headers(dice: Random) -> list[tuple[str, bytes | None]]:
    names = ["", "x", "ü", "\x00", "ce_", "x" * 500, "headrace-", "traceparent", "tracestate", "ce_time", "X" * 60]
    return [(dice.choice(names), dice.choice([None, b"", junk(dice, 200)])) for _ in range(dice.randrange(1, 20))]


TRACE: Final = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"


# ------------------------------------------------------------------------------------------------ the kinds


def _is_odd(**fields: Any) -> Make:
    return lambda _dice, _id: _Odd(fields)


def _asks(**body: Any) -> Make:
    return lambda _dice, _id: _Odd(body=body)


def _says(*headers: tuple[str, bytes | None]) -> Make:
    return lambda _dice, _id: _Odd(headers=headers)


def _is(value: bytes | None) -> Make:
    return lambda _dice, _id: _Odd(value=value, bare=True)


def _subject(make: Callable[[Random], bytes | None]) -> Make:
    """A value that cannot be read, and an id in its headers."""
    return lambda dice, name: _Odd(value=make(dice), bare=True, headers=(("ce_subject", name.encode()),))


def _amount(dice: Random, _id: str) -> _Odd:
    name = dice.choice(["max_tokens", "max_completion_tokens", "n", "best_of", "top_logprobs", "dimensions"])
    return _Odd(body={name: dice.choice([abs(digits(dice)), 1.79e308, 10**12 + 1])})


def _structured(dice: Random, name: str) -> _Odd:
    data = {"body": {"model": MODEL, "messages": []}}
    packed: dict[str, Any] = {"data": data}
    if dice.random() < 0.5:
        packed = {"data_base64": base64.b64encode(json.dumps(data).encode()).decode()}
    event = {"specversion": "1.0", "id": name, "source": "x", "type": "com.acme.lead", "odd": weird(dice), **packed}
    event |= {"partitionkey": "k" * dice.choice([1, 60_000]), "traceparent": dice.choice([TRACE.decode(), "x" * 5_000])}
    return _Odd(value=json.dumps(event).encode(), bare=True, headers=(STRUCTURED,))


def _tokens(dice: Random, name: str) -> _Odd:
    numbers = [dice.randrange(10_000, 99_999) for _ in range(dice.choice([10, 30_000]))]
    fields = {"id": name, "endpoint": "embeddings", "body": {"model": "text-embedding-3-small", "input": numbers}}
    return _Odd(value=json.dumps(fields).encode(), bare=True)


def _deep(dice: Random, name: str) -> _Odd:
    request = json.dumps({"id": name, "body": {"model": MODEL, "messages": []}, "metadata": {"a": "HERE"}})
    return _Odd(value=request.replace('"HERE"', nested(60, of=dice.choice("[{"))).encode(), bare=True)


def _forged_run(dice: Random) -> _Odd:
    run = dice.choice([1, 7, 65_535])
    return _Odd(headers=[("headrace-run", str(run).encode())], run=run)


def _wrong(dice: Random) -> dict[str, Any]:
    return dice.choice(
        [{"body": "x"}, {"body": None}, {"body": []}, {"endpoint": "images"}, {"endpoint": 7}, {"tenant": 5},
         {"tenant": "x" * 257}, {"tenant": ""}, {"stream": "yes"}, {"stream": 1}, {"metadata": []}, {"template": {}}]
    )  # fmt: skip


def _bomb(dice: Random) -> bytes:
    each = dice.choice([b"[]", b"{}", b'{"a":{}}', b"[[]]", b'""', b"0"])
    return b"[" + b",".join([each] * (880_000 // (len(each) + 1))) + b"]"


def _picture(dice: Random) -> _Odd:
    head = dice.choice(
        [
            b"\x89PNG\r\n\x1a\n" + b"\xff" * 24,
            b"GIF89a\xff\xff\xff\xff",
            b"\xff\xd8" + junk(dice, 999),
            b"RIFF0000WEBPVP8X" + b"\xff" * 20,
        ]
    )
    url = "data:image/png;base64," + base64.b64encode(head).decode()
    part = {"type": "image_url", "image_url": {"url": url, "detail": weird(dice)}}
    return _Odd(body={"messages": [{"role": "user", "content": [part] * 3}]})


KINDS: Final[Mapping[str, tuple[str, Make]]] = {
    "proper": (ANSWERED, _says()),
    "null headers": (ANSWERED,
        _says(("x", None), ("", None), ("ce_subject", None), ("traceparent", None), ("x", None))),
    "odd headers": (ANSWERED, lambda dice, _: _Odd(headers=_odd_headers(dice))),
    "many headers": (ANSWERED, lambda dice, _: _Odd(headers=[("x", junk(dice, 9)) for _ in range(1_000)])),
    "heavy header": (ANSWERED, lambda dice, _: _Odd(headers=[("x", b"\xff" * dice.randrange(90_000, 120_000))])),
    "long trace": (ANSWERED,
        lambda dice, _: _Odd(headers=[("traceparent", TRACE + b"-" + b"x" * dice.randrange(99_000))])),
    "malformed trace": (ANSWERED, lambda dice, _: _Odd(headers=[("traceparent", junk(dice, 90))])),
    "odd key": (ANSWERED, lambda dice, _: _Odd(key=dice.choice([b"", b"\xff", b"\0" * 999, junk(dice, 99_000)]))),
    "forged attempt": (ANSWERED, _says(("headrace-attempt", b"65535"), ("headrace-failures", b"0"))),
    "forged failures": (ANSWERED, _says(("headrace-attempt", b"300"), ("headrace-failures", b"65535"))),
    "forged run": (ANSWERED, lambda dice, _: _forged_run(dice)),
    "huge seed": (ANSWERED, lambda dice, _: _Odd(body={"seed": digits(dice), "logit_bias": {"1": digits(dice)}})),
    "amount of a wrong type": (ANSWERED,
        lambda dice, _: _Odd(body={"max_tokens": dice.choice(["9" * 400, -5, 0, 1.5, []])})),
    "odd messages": (ANSWERED, lambda dice, _: _Odd(body={"messages": weird(dice), "stop": weird(dice), "n": -1})),
    "odd parts": (ANSWERED,
        lambda dice, _: _Odd(body={"messages": [{"role": weird(dice), "content": [weird(dice)] * 3}]})),
    "odd metadata": (ANSWERED, lambda dice, _: _Odd({"metadata": {"a": weird(dice), "b": digits(dice)}})),
    "unknown fields": (ANSWERED, lambda dice, _: _Odd({"colour": weird(dice), "": weird(dice)})),
    "odd tenant": (ANSWERED, lambda dice, _: _Odd({"tenant": dice.choice(["\x00", "\u202e", "😀" * 256, "a/b", " "])})),
    "text of commas": (ANSWERED, lambda dice, _: _Odd({"metadata": {"a": ',[{"' * dice.randrange(50_000, 80_000)}})),
    "picture": (ANSWERED, lambda dice, _: _picture(dice)),
    "token numbers": (ANSWERED, _tokens),
    "structured mode": (ANSWERED, _structured),
    "deep but allowed": (ANSWERED, _deep),
    "deadline at the end of time": (ANSWERED, _is_odd(deadline="9999-12-31T23:59:59Z")),
    "deadline long ago": (FAILED, _is_odd(deadline="0001-01-01T00:00:00Z")),
    "deadline beyond time": (FAILED, _is_odd(deadline="9999-12-31T23:59:59-14:00")),
    "deadline that is none": (FAILED,
        lambda dice, _: _Odd({"deadline": dice.choice(["", "x", 7, [], "0000-01-01T00:00:00Z"])})),
    "amount beyond any limit": (FAILED, _amount),
    "product beyond any limit": (FAILED, _asks(max_tokens=10**10, n=10**10)),
    "background": (FAILED,
        lambda _, name: _Odd({"endpoint": "responses"}, value=None, body={"background": True, "input": name})),
    "no model": (FAILED, lambda dice, _: _Odd(body={"model": dice.choice([None, 7, [], "m" * 300])})),
    "forbidden key": (FAILED, lambda dice, _: _Odd(body={dice.choice(["extra_headers", "timeout", "extra_body"]): {}})),
    "field of a wrong type": (FAILED, lambda dice, _: _Odd(_wrong(dice))),
    "tool that reaches out": (FAILED, _asks(tools=[{"type": "mcp", "server_url": "https://example.test"}])),
    "reply to anywhere": (FAILED, _is_odd(reply_to="somebody.elses.topic")),
    "too many headers": (FAILED, lambda dice, _: _Odd(headers=[("x", b"")] * dice.randrange(1_025, 3_000))),
    "too heavy headers": (FAILED, lambda dice, _: _Odd(headers=[("x" * 70_000, junk(dice, 9) + b"y" * 70_000)])),
    "too heavy key": (FAILED, lambda dice, _: _Odd(key=b"k" * dice.randrange(132_000, 400_000))),
    "malformed run": (FAILED,
        lambda dice, _: _Odd(headers=[("headrace-run", dice.choice([b"", b"x", b"-1", b"9" * 400]))])),
    "malformed attempt": (FAILED,
        lambda dice, _: _Odd(headers=[("headrace-attempt", dice.choice([b"x", b"65536", None]))])),
    "malformed deadline header": (FAILED, lambda dice, _: _Odd(headers=[("headrace-deadline", junk(dice, 30))])),
    "later version": (FAILED, _says(("ce_type", b"headrace.generation.requested.v9"))),
    "null value with an id": (FAILED, _subject(lambda _: None)),
    "no JSON with an id": (FAILED, _subject(lambda dice: b"\xff" + junk(dice, 5_000))),
    "NaN with an id": (FAILED, _subject(lambda dice: dice.choice([b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1e999}']))),
    "digits with an id": (FAILED, _subject(lambda dice: b'{"a":' + b"9" * dice.randrange(4_301, 90_000) + b"}")),
    "surrogate with an id": (FAILED, _subject(lambda _: b'{"a":"\\ud83d"}')),
    "bomb with an id": (FAILED, _subject(_bomb)),
    "too deep with an id": (FAILED,
        _subject(lambda dice: nested(dice.choice([66, 500, 90_000]), of=dice.choice("[{")).encode())),
    "null value": (DEAD_LETTER, _is(None)),
    "empty value": (DEAD_LETTER, _is(b"")),
    "any bytes": (DEAD_LETTER,
        lambda dice, _: _Odd(value=b"\xff" + junk(dice, 2_000), bare=True, headers=_odd_headers(dice))),
    "no object": (DEAD_LETTER,
        lambda dice, _: _Odd(value=json.dumps(dice.choice([[], "x", 7, None])).encode(), bare=True)),
    "bomb": (DEAD_LETTER, lambda dice, _: _Odd(value=_bomb(dice), bare=True)),
    "no id": (DEAD_LETTER, lambda dice, _: _Odd({"id": dice.choice([None, "", "ü", "x" * 129, 7, []])})),
}  # fmt: skip
NAMES: Final = tuple(KINDS)
