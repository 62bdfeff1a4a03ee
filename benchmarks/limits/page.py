"""The page of results, written from the figures of a run and from nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

_HEAD: Final = """\
# How well the limits are used

Written by `make bench-limits` from its own figures; do not edit. Run on {date}, commit {commit}, on a machine with \
{machine}; it took {minutes:.0f} minutes.

Each row is one behaviour that the simulated OpenAI plays ([upstream.md](upstream.md)). The same calls, charged {mean} \
tokens on average, wait from the start, and are made by three clients:

- **Headrace**: over HTTP by a real dispatcher with a real Kafka and Valkey, or, where it says virtual, by the same core
  in virtual time.
- **A client that counts**: it counts tokens exactly, starts from the configured limits with token buckets of its own,
  reserves input and `max_tokens`, settles what was used, and calls through an SDK that retries twice. Virtual time.
- **Four workers** that know nothing of each other or of tokens: the README's workers, each limited to 60 requests a
  minute, scaled to the row's limit. A call that the SDK gives up is lost. Virtual time.

*Share* is what the client was charged, as a part of what an omniscient dispatcher is charged in the same time under the
same behaviour. That dispatcher knows everything in advance and admits each call, in the order given, as early as the
limits allow; a dispatcher that lets small calls pass larger ones may fill a window a little better. *429s* are counted
for 1,000 admitted calls. *Time* is the time until the last call was admitted, relative to the least possible. The first
phase is the time in which an undescribed law is identified; *after it* the ideal starts from the same state as
Headrace did.

"""
_COLUMNS: Final = (
    "behaviour",
    "way",
    "share",
    "429s",
    "time",
    "first phase: share, 429s in all",
    "after it: share, 429s",
    "promised",
    "counting client: share, 429s, time",
    "workers: share, 429s, lost",
)


def page(told: Mapping[str, Any]) -> str:
    """Return the whole page."""
    rows = told["rows"]
    text = _HEAD.format(
        date=told["date"],
        commit=told["commit"],
        machine=told["machine"],
        minutes=max(1, told["took_s"] / 60),
        mean=told["mean_charge"],
    )
    table = [_cells(_COLUMNS), _cells(["---"] * len(_COLUMNS)), *(_cells(_row(row)) for row in rows)]
    missing = [row["name"] for row in rows if row["kept"] is False]
    end = f"Rows that miss their promise: {', '.join(missing)}.\n" if missing else "Every promise is kept.\n"
    return text + "\n".join(table) + "\n\n" + end


def _cells(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


def _row(row: Mapping[str, Any]) -> list[str]:
    own, rival, others, promise = row["headrace"], row["counting"], row["workers"], row["promise"]
    first, after = own["first"], own["after"]
    told = "nothing"
    if promise is not None:
        scope = "after it: " if promise["after"] else ""
        told = f"{scope}≥ {promise['share_min']:.0%}, ≤ {promise['refused_max']:g}"
        told += "" if row["kept"] else ": **missed**"
    lost = others["lost"] / max(1, others["lost"] + others["whole"]["calls"])
    return [
        _named(row["name"], row["plays"]),
        row["way"],
        f"{own['whole']['share']:.1%}",
        _rate(own["whole"]),
        f"{own['time_against_ideal']:.2f} times",
        f"{first['seconds']:.0f} s: {first['share']:.1%}, {first['refused']}",
        "" if after is None else f"{after['share']:.1%}, {_rate(after)}",
        told,
        f"{rival['whole']['share']:.1%}, {_rate(rival['whole'])}, {rival['time_against_ideal']:.2f} times",
        f"{others['whole']['share']:.1%}, {_rate(others['whole'])}, {lost:.0%}",
    ]


def _rate(phase: Mapping[str, Any]) -> str:
    return f"{phase['refused_per_1000']:,.1f}"


def _named(name: str, plays: Sequence[str]) -> str:
    """Return the name of a row, and what it plays if that does not begin with it."""
    played = ", ".join(f"`{play}`" for play in plays)
    return played if plays[0].startswith(name) else f"`{name}` ({played})"
