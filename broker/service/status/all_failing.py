"""Recent failures, as the leader reports them: dead letters of the last hour; models and lanes of which all failed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from headrace.broker.amounts import counted, spoken_s
from headrace.broker.observability.panels import BY_KEY
from headrace.broker.service.status.reading import Said

_HOUR_S: Final = 3_600
_NUMBER_MAX: Final = 10**15
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,99}")
"""A name that a shell takes as it is."""


def dead_letters(said: Said) -> str | None:
    """Return one line; None if the dispatcher is of a release that does not report dead letters."""
    told = said.get("failed_lately")
    if not isinstance(told, Mapping) or not isinstance(told.get("dead_letters"), Mapping):
        return None
    return f"dead letters {_span(told)}  {_listed(told['dead_letters']) or 'none'}"


def _span(told: Mapping[str, Any]) -> str:
    seconds = _number(told.get("seconds", _HOUR_S), _HOUR_S)
    return "in the last hour" if seconds >= _HOUR_S else f"since it started ({spoken_s(seconds)} ago)"


def many_dead_letters(said: Said) -> str | None:
    """Return a sentence on the hour's dead letters, if those of a reason are as many as the alert on them asks for."""
    told, warn = said.get("failed_lately"), BY_KEY["dead_letters"].warn or 0
    letters = told.get("dead_letters") if isinstance(told, Mapping) else None
    if not isinstance(told, Mapping) or not isinstance(letters, Mapping):
        return None
    many = {reason: count for reason, count in letters.items() if _count(count) >= warn}
    if not many:
        return None
    return (
        f"Many dead letters {_span(told)}: {_listed(many)}. They are not tried again; "
        "`headrace dead-letters list --since 1h` says why."
    )


def all_failing(said: Said) -> Iterator[str]:
    """Yield a sentence for each model, and each lane, of which every request of the last minutes failed."""
    told = said.get("failed_lately")
    listed = told.get("all_failing") if isinstance(told, Mapping) else None
    kinds = [one for one in listed if _is_kind(one)] if isinstance(listed, list) else []
    models = [one for one in kinds if one.get("kind") == "model"]
    explained = [one["reasons"] for one in models]
    for one in (*models, *(one for one in kinds if one not in models and one["reasons"] not in explained)):
        yield _sentence(one)


def _is_kind(one: Any) -> bool:
    return isinstance(one, Mapping) and isinstance(one.get("reasons"), Mapping)


def _sentence(one: Mapping[str, Any]) -> str:
    kind, name, minutes = one.get("kind"), str(one.get("name")), _count(one.get("minutes"))
    count = sum(_count(each) for each in one["reasons"].values())
    which = f"of {kind} {name}" if name else "without a model"
    wanted = f" --model {name}" if kind == "model" and _WORD.fullmatch(name) else ""
    return (
        f"Every request {which} has failed in the last {minutes} minutes, {counted(count, 'request')}: "
        f"{_listed(one['reasons'])}. `headrace dead-letters list{wanted} --since {minutes}m` says why."
    )


def _listed(reasons: Mapping[str, Any]) -> str:
    return ", ".join(f"{_count(count):,} {reason}" for reason, count in reasons.items())


def _count(told: Any) -> int:
    """Return a count; 0 where another release reports something else."""
    return int(_number(told, 0))


def _number(told: Any, otherwise: float) -> float:
    """Return a finite number that is not negative; another release may report any JSON value instead."""
    is_number = isinstance(told, int | float) and not isinstance(told, bool)
    return told if is_number and 0 <= told <= _NUMBER_MAX else otherwise
