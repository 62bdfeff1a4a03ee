"""The table in the terminal, the figures as JSON, and the promises that were not kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.limits.calls import calls
from benchmarks.limits.measure import Figures, Phase
from benchmarks.limits.rows import CALLS, Row
from headrace.broker.simulator.pricing import ChatLaw

WIDTH: Final = 118
_GROUPS: Final = (
    f"{'':32} {'Headrace: whole run':19} | {'first phase':15} | {'after it':12} | {'':4} | {'counts tokens':13} | "
    "workers"
)
_COLUMNS: Final = (
    f"{'behaviour':27} {'way':4} {'share':>5} {'429s':>7} {'time':>5} | "
    f"{'':3} {'share':>5} {'429s':>5} | {'share':>5} {'429s':>6} | {'':4} | {'share':>5} {'429s':>7} | {'lost':>5}"
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One row and its three clients."""

    row: Row
    headrace: Figures
    counting: Figures
    workers: Figures


def head() -> str:
    """Return the head of the table."""
    return "\n".join((_GROUPS, _COLUMNS, "-" * WIDTH))


def line(measured: Measured) -> str:
    """Return one row."""
    row, own, rival = measured.row, measured.headrace, measured.counting
    after = f"{_percent(own.after)} {_rate(own.after):6.1f}" if own.after else f"{'':12}"
    lost = measured.workers.lost / max(1, measured.workers.lost + measured.workers.whole.calls)
    return (
        f"{row.name:27} {'HTTP' if row.way == 'HTTP' else '':4} {_percent(own.whole)} {_rate(own.whole):7.1f} "
        f"{own.slower:5.2f} | {own.first.seconds:2.0f}s {_percent(own.first)} {own.first.refused:5} | {after} | "
        f"{_kept(row, own):4} | {_percent(rival.whole)} {_rate(rival.whole):7.1f} | {100 * lost:4.0f}%"
    )


def legend() -> str:
    """Return the meaning of the columns."""
    return (
        "share: tokens charged, in % of what an omniscient dispatcher gets in the same time; 429s: for 1,000 calls\n"
        "admitted (first phase: how many); time: against the least possible. HTTP: real dispatcher, Kafka and Valkey;\n"
        "else, and for both rivals always, virtual time. lost: calls that the workers' SDKs gave up."
    )


def as_json(rows: Sequence[Measured], surroundings: Mapping[str, str], took_s: float) -> dict[str, Any]:
    """Return all figures."""
    usual = [call.charge(ChatLaw.CHAT_2025) for call in calls(CALLS)]
    return {
        **surroundings,
        "took_s": round(took_s),
        "mean_charge": round(sum(usual) / len(usual)),
        "rows": [_row(measured) for measured in rows],
    }


def missed(told: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each row that does not keep its promise."""
    sentences = []
    for row in told["rows"]:
        if row["kept"] is False:
            promise, own = row["promise"], row["headrace"]
            phase = (promise["after"] and own["after"]) or own["whole"]
            sentences.append(
                f"{row['name']} misses: {phase['share']:.1%} and {phase['refused_per_1000']:.1f} 429s per 1,000 calls, "
                f"promised {promise['share_min']:.0%} and {promise['refused_max']:g}"
                + (f"; {own['lost']} calls were never admitted" if own["lost"] else "")
            )
    return sentences


def kept(row: Row, own: Figures) -> bool | None:
    """Return whether the promise is kept; None without one. A call that was never admitted breaks any."""
    if row.promise is None:
        return None
    phase = (own.after or own.whole) if row.promise.after else own.whole
    enough = phase.share >= row.promise.share_min and phase.refused_per_1000 <= row.promise.refused_max
    return enough and own.lost == 0


def _kept(row: Row, own: Figures) -> str:
    return {True: "kept", False: "MISS", None: ""}[kept(row, own)]


def _row(measured: Measured) -> dict[str, Any]:
    row, promise = measured.row, measured.row.promise
    return {
        "name": row.name,
        "plays": list(row.plays),
        "way": row.way.value,
        "tokens_per_minute": row.tokens_per_minute,
        "promise": promise
        and {"share_min": promise.share_min, "refused_max": promise.refused_max, "after": promise.after},
        "kept": kept(row, measured.headrace),
        "headrace": _figures(measured.headrace),
        "counting": _figures(measured.counting),
        "workers": _figures(measured.workers),
    }


def _figures(own: Figures) -> dict[str, Any]:
    return {
        "whole": _phase(own.whole),
        "first": _phase(own.first),
        "after": own.after and _phase(own.after),
        "time_against_ideal": round(own.slower, 4),
        "lost": own.lost,
    }


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "share": round(phase.share, 5),
        "refused": phase.refused,
        "refused_per_1000": round(phase.refused_per_1000, 3),
        "calls": phase.calls,
        "seconds": round(phase.seconds, 3),
    }


def _percent(phase: Phase) -> str:
    return f"{100 * phase.share:5.1f}"


def _rate(phase: Phase | None) -> float:
    return 0.0 if phase is None else phase.refused_per_1000
