"""Every behaviour by its name, as the command line, a file and a benchmark give it.

A name stands for a value with its usual numbers; `NAME:field=number,field=number` changes some of them.
"""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from broker.simulator.admission import RefusedCost
from broker.simulator.behaviours.enforcement import (
    ApproximateWindows,
    ChargedRefusals,
    ChargeLaw,
    FixedWindows,
    Foreign,
    HiddenBucket,
    LimitChange,
    PerDay,
    Period,
    ProjectLimits,
    Quantised,
    RequestBound,
    SharedLimit,
    SlidingWindows,
)
from broker.simulator.behaviours.latencies import (
    FixedLatency,
    Latency,
    LoadLatency,
    LogNormalLatency,
    UniformLatency,
    WideLatency,
)
from broker.simulator.behaviours.manners import (
    AllHeaders,
    Azure,
    AzureUnlimited,
    BareResponses429,
    Groq,
    HtmlGateway,
    Manner,
    NoHeaders,
    OnlyRetryAfter,
    OnlyTokenHeaders,
    RoundedHeaders,
    StaleHeaders,
)
from broker.simulator.behaviours.troubles import (
    AccountTrouble,
    AccountTroubleKind,
    BrokenStreams,
    DroppedConnections,
    ErrorStorm,
    SilentCalls,
    SlowStreams,
)
from broker.simulator.pricing import ChatLaw
from schemas.nearest import meant_or_known

Behaviour = (
    Period
    | RequestBound
    | PerDay
    | ProjectLimits
    | SharedLimit
    | LimitChange
    | ChargeLaw
    | HiddenBucket
    | Quantised
    | FixedWindows
    | SlidingWindows
    | ApproximateWindows
    | ChargedRefusals
    | Foreign
    | Manner
    | AccountTrouble
    | ErrorStorm
    | DroppedConnections
    | SilentCalls
    | SlowStreams
    | BrokenStreams
    | Latency
)

NAMED: Final[Mapping[str, Behaviour]] = MappingProxyType(
    {
        "bucket": Period(60.0),
        "bucket-6s": Period(6.0),
        "bucket-1s": Period(1.0),
        "request-bound": RequestBound(),
        "requests-per-day": PerDay(requests=10_000),
        "tokens-per-day": PerDay(tokens=2_000_000),
        "project-limits": ProjectLimits(),
        "shared-limit": SharedLimit(),
        "limit-halved": LimitChange(factor=0.5),
        "limit-doubled": LimitChange(factor=2.0),
        "law-chat-2025": ChargeLaw(ChatLaw.CHAT_2025),
        "law-chat-legacy": ChargeLaw(ChatLaw.CHAT_LEGACY),
        "law-documented": ChargeLaw(ChatLaw.DOCUMENTED),
        "law-usage": ChargeLaw(ChatLaw.USAGE),
        "law-change": ChargeLaw(ChatLaw.CHAT_LEGACY, from_s=30.0),
        "hidden-bucket-1s": HiddenBucket(1.0),
        "hidden-bucket-6s": HiddenBucket(6.0),
        "quantised-1s": Quantised(1.0),
        "quantised-6s": Quantised(6.0),
        "fixed-window": FixedWindows(),
        "sliding-window": SlidingWindows(),
        "sliding-approximate": ApproximateWindows(),
        "refusals-cost-request": ChargedRefusals(RefusedCost.REQUEST),
        "refusals-cost-all": ChargedRefusals(RefusedCost.ALL),
        "foreign": Foreign(),
        "foreign-insisting": Foreign(insists=True),
        "headers-all": AllHeaders(),
        "headers-none": NoHeaders(),
        "headers-retry-after": OnlyRetryAfter(),
        "headers-tokens": OnlyTokenHeaders(),
        "headers-stale": StaleHeaders(),
        "headers-rounded": RoundedHeaders(),
        "responses-bare-429": BareResponses429(),
        "azure": Azure(),
        "azure-seconds": Azure(in_seconds=True),
        "azure-unlimited": AzureUnlimited(),
        "groq": Groq(),
        "gateway-html": HtmlGateway(),
        "slow-down": AccountTrouble(AccountTroubleKind.SLOW_DOWN),
        "quota-gone": AccountTrouble(AccountTroubleKind.INSUFFICIENT_QUOTA),
        "error-storm": ErrorStorm(),
        "dropped": DroppedConnections(),
        "silence": SilentCalls(),
        "slow-streams": SlowStreams(),
        "broken-streams": BrokenStreams(),
        "latency-fixed": FixedLatency(),
        "latency-uniform": UniformLatency(),
        "latency-lognormal": LogNormalLatency(),
        "latency-wide": WideLatency(),
        "latency-load": LoadLatency(),
    }
)


def behaviour(name: str, /, **numbers: Any) -> Behaviour:
    """Return the behaviour of that name, with some of its numbers changed.

    Raises:
        ValueError: with a sentence that names the nearest that exists.
    """
    known = NAMED.get(name)
    if known is None:
        raise ValueError(f"there is no behaviour {name!r}{meant_or_known(name, NAMED)}")
    names = [field.name for field in fields(known)]
    for field in numbers:
        if field not in names:
            raise ValueError(f"{name} has no {field!r}{meant_or_known(field, names)}")
    try:
        return replace(known, **{field: _typed(known, field, value) for field, value in numbers.items()})
    except TypeError as error:
        raise ValueError(f"{name}: a number is expected ({error})") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def parsed(text: str) -> Behaviour:
    """Parse `NAME` or `NAME:field=value,field=value`; a list is written with `+` between its items.

    Raises:
        ValueError: as `behaviour`, or when a pair is none.
    """
    name, _, rest = text.partition(":")
    numbers: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        field, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{text!r} is not NAME:field=value")
        numbers[field.strip()] = _read(value.strip())
    return behaviour(name.strip(), **numbers)


def spelled(played: Behaviour) -> str:
    """Return the text that `parsed` would read back: the nearest name, and the numbers that differ."""
    same = [(name, known) for name, known in NAMED.items() if type(known) is type(played)]
    spellings = [(name, [field for field in _numbers(known) if field not in _numbers(played)]) for name, known in same]
    name = min(spellings, key=lambda entry: len(entry[1]))[0]
    usual = _numbers(NAMED[name])
    pairs = [f"{field}={_written(value)}" for field, value in _numbers(played) if (field, value) not in usual]
    return f"{name}:{','.join(pairs)}" if pairs else name


def _numbers(played: Behaviour) -> list[tuple[str, Any]]:
    return [(field.name, getattr(played, field.name)) for field in fields(played)]


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(str(item) for item in value)
    return json.dumps(value) if isinstance(value, bool) or value is None else str(value)


def _read(text: str) -> Any:
    try:
        return json.loads(text)  # numbers and booleans; inf is read below
    except ValueError:
        return text


def _typed(known: Behaviour, field: str, value: Any) -> Any:
    """Convert a value to its field's type: lists become tuples, words become members of their enum."""
    usual = getattr(known, field)
    if isinstance(usual, tuple):
        items = value.split("+") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        return tuple(int(item) if isinstance(usual[0], int) else str(item) for item in items)
    if isinstance(usual, StrEnum):
        return type(usual)(value)
    if isinstance(usual, bool) or isinstance(value, bool):
        if isinstance(usual, bool) and isinstance(value, bool):
            return value
        raise ValueError(f"{field} is {'true or false' if isinstance(usual, bool) else 'a number'}, not {value!r}")
    if isinstance(usual, float):
        try:
            return float(value)
        except ValueError:
            raise ValueError(f"{field} is a number, not {value!r}") from None
    if isinstance(usual, str):
        return str(value)
    if isinstance(value, int) or value is None:
        return value
    raise ValueError(f"{field} is a whole number, not {value!r}")
