"""Every behaviour by its name, as the command line, a file and a benchmark give it.

A name stands for a value with its usual numbers; `NAME:field=number,field=number` changes some of them. `random:17` is
no behaviour but a whole server, drawn by that seed.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from headrace.broker.simulator.admission import RefusedCost
from headrace.broker.simulator.behaviours import billing, enforcement, latencies, profiles, troubles
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.drawn_server import DrawnServer, drawn_server
from headrace.broker.simulator.pricing import ChatLaw
from headrace.schemas.nearest import listed, meant_or_known, shown

RANDOM: Final = "random"
SEED_DIGITS_MAX: Final = 18
_OF_USUAL_LIMITS: Final = (
    enforcement.Period,
    enforcement.FixedWindows,
    enforcement.SlidingWindows,
    enforcement.ApproximateWindows,
    enforcement.HiddenBucket,
    enforcement.Quantised,
    enforcement.RequestBound,
    enforcement.ProjectLimits,
)
NAMED: Final[Mapping[str, Behaviour]] = MappingProxyType(
    {
        "bucket": enforcement.Period(60.0),
        "bucket-6s": enforcement.Period(6.0),
        "bucket-1s": enforcement.Period(1.0),
        "window": enforcement.EnforcedWindow(),
        "request-bound": enforcement.RequestBound(),
        "requests-per-day": enforcement.PerDay(requests=10_000),
        "tokens-per-day": enforcement.PerDay(tokens=2_000_000),
        "project-limits": enforcement.ProjectLimits(),
        "shared-limit": enforcement.SharedLimit(),
        "limit-halved": enforcement.LimitChange(factor=0.5),
        "limit-doubled": enforcement.LimitChange(factor=2.0),
        "law-chat-2025": enforcement.ChargeLaw(ChatLaw.CHAT_2025),
        "law-chat-legacy": enforcement.ChargeLaw(ChatLaw.CHAT_LEGACY),
        "law-documented": enforcement.ChargeLaw(ChatLaw.DOCUMENTED),
        "law-usage": enforcement.ChargeLaw(ChatLaw.USAGE),
        "law-change": enforcement.ChargeLaw(ChatLaw.CHAT_LEGACY, from_s=30.0),
        "charge-factor": enforcement.ChargeFactor(),
        "stored-input": enforcement.StoredInput(),
        "hidden-bucket-1s": enforcement.HiddenBucket(1.0),
        "hidden-bucket-6s": enforcement.HiddenBucket(6.0),
        "quantised-1s": enforcement.Quantised(1.0),
        "quantised-6s": enforcement.Quantised(6.0),
        "fixed-window": enforcement.FixedWindows(),
        "sliding-window": enforcement.SlidingWindows(),
        "sliding-approximate": enforcement.ApproximateWindows(),
        "refusals-cost-request": enforcement.ChargedRefusals(RefusedCost.REQUEST),
        "refusals-cost-all": enforcement.ChargedRefusals(RefusedCost.ALL),
        "foreign": enforcement.Foreign(),
        "foreign-insisting": enforcement.Foreign(insists=True),
        "headers-all": profiles.AllHeaders(),
        "headers-none": profiles.NoHeaders(),
        "headers-retry-after": profiles.OnlyRetryAfter(),
        "headers-tokens": profiles.OnlyTokenHeaders(),
        "headers-show": profiles.ShownLevels(),
        "refusals-state": profiles.StatedRefusals(),
        "headers-stale": profiles.StaleHeaders(),
        "headers-rounded": profiles.RoundedHeaders(),
        "responses-bare-429": profiles.BareResponses429(),
        "azure": profiles.Azure(),
        "azure-seconds": profiles.Azure(in_seconds=True),
        "azure-unlimited": profiles.AzureUnlimited(),
        "groq": profiles.Groq(),
        "gateway-html": profiles.HtmlGateway(),
        "slow-down": troubles.AccountTrouble(troubles.AccountTroubleKind.SLOW_DOWN),
        "quota-gone": troubles.AccountTrouble(troubles.AccountTroubleKind.INSUFFICIENT_QUOTA),
        "flex-refused": troubles.RefusedTier(),
        "flex-scarce": troubles.RefusedTier(rate=0.5),
        "tier-unknown": troubles.RefusedTier(status=400),
        "error-storm": troubles.ErrorStorm(),
        "dropped": troubles.DroppedConnections(),
        "silence": troubles.SilentCalls(),
        "slow-streams": troubles.SlowStreams(),
        "broken-streams": troubles.BrokenStreams(),
        "prompt-cache": billing.PromptCache(),
        "picture-usage": billing.PictureUsage(),
        "other-tier": billing.OtherTier(),
        "latency-fixed": latencies.FixedLatency(),
        "latency-uniform": latencies.UniformLatency(),
        "latency-lognormal": latencies.LogNormalLatency(),
        "latency-wide": latencies.WideLatency(),
        "latency-load": latencies.LoadLatency(),
    }
)


def behaviour(name: str, /, **numbers: Any) -> Behaviour:
    """Return the behaviour of that name, with some of its numbers changed.

    Raises:
        ValueError: with a sentence that names the nearest that exists.
    """
    known = _known(name)
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
    _known(name.strip())
    numbers: dict[str, Any] = {}
    for pair in filter(None, rest.split(",")):
        field, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{text!r} is not NAME:field=value")
        numbers[field.strip()] = _read(value.strip())
    return behaviour(name.strip(), **numbers)


def played_by(texts: Iterable[str]) -> tuple[Behaviour, ...]:
    """Parse each text as `parsed` does; `random:17` stands for all that the server of that seed plays.

    Raises:
        ValueError: as `parsed`, or when a seed is no whole number, or when there are two of them.
    """
    texts = list(texts)
    server = server_among(texts)
    drawn = () if server is None else server.behaviours
    return tuple(each for text in texts for each in (drawn if _is_random(text) else (parsed(text),)))


def server_among(texts: Iterable[str]) -> DrawnServer | None:
    """Return the server of the `random:SEED` among the texts, or None.

    Raises:
        ValueError: The seed is no whole number, or there are two of them.
    """
    named = [text for text in texts if _is_random(text)]
    if len(named) > 1:
        raise ValueError(f"{shown(named[0])!r} and {shown(named[1])!r} are two whole servers: name one")
    for text in named:
        seed = text.partition(":")[2].strip()
        if not (seed.isascii() and seed.isdecimal() and len(seed) <= SEED_DIGITS_MAX):
            raise ValueError(
                f"{shown(text)!r} is not {RANDOM}:SEED, with a whole number of at most {SEED_DIGITS_MAX} digits such "
                f"as {RANDOM}:17"
            )
        return drawn_server(int(seed))
    return None


def check_drawn(server: DrawnServer | None, law: object, latency: object) -> None:
    """Refuse a law or a latency (None: not given) beside a server that is drawn with its own.

    Raises:
        ValueError: with a sentence that names them.
    """
    if server is not None and not (law is None and latency is None):
        raise ValueError(f"--law and --latency have no place beside {RANDOM}:SEED, which draws both")


def check_together(played: Iterable[Behaviour]) -> None:
    """Refuse behaviours that would have no effect beside enforced windows, which replace the usual limits.

    Raises:
        ValueError: with a sentence that names them.
    """
    played = list(played)
    if any(isinstance(each, enforcement.EnforcedWindow) for each in played):
        idle = [spelled(each) for each in played if isinstance(each, _OF_USUAL_LIMITS)]
        if idle:
            raise ValueError(
                f"{listed(idle)} would have no effect: beside a window, and so beside {RANDOM}:SEED, the usual limits "
                "that it changes are not enforced"
            )


def _known(name: str) -> Behaviour:
    if _is_random(name):
        raise ValueError(f"{RANDOM}:SEED is a whole server and no behaviour: --behaviour {RANDOM}:17 plays one")
    known = NAMED.get(name)
    if known is None:
        raise ValueError(f"there is no behaviour {shown(name)!r}{meant_or_known(name, [*NAMED, RANDOM])}")
    return known


def _is_random(text: str) -> bool:
    return text.partition(":")[0].strip() == RANDOM


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
