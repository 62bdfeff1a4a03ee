"""The page of results, written from the figures of a run and from nothing else; and the lines of the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from benchmarks.lanes.findings import Finding, finding_of

_HEAD: Final = """\
# Whether the lanes keep their promises

Written by `make bench-lanes` from its own figures; do not edit. Run on {date}, commit {commits}, on a machine with \
{machine}; it took {minutes:.0f} minutes.

Rows marked *real* are served by two dispatcher processes with a real Kafka and a real Valkey, against `headrace \
upstream` over HTTP; rows marked *virtual* by the same core in virtual time; rows marked *core* use only the core's \
lanes. Unless a row says otherwise, the quota is 60,000 tokens a minute, lanes and settings are the defaults, and the \
limit is configured as an operator knows it, without any shorter buckets.

A *wait* is the time from a request's arrival to the start of its first call; in virtual rows, to its arrival at \
OpenAI, which is up to 4 ms later. *Used* is the charged part of a full bucket and its refill until the last \
call was admitted. Bulk requests stand in Kafka from the start, more than can be served; urgent requests come at \
random times. Urgent requests have 100 to 300 tokens each, bulk requests 200 to 600. *One queue* serves the same \
requests in their order of arrival. Where a row has several seeds, it shows the worst and the median; promises apply \
to the worst.

"""
_COLUMNS: Final = ("row", "played", "way", "promised", "measured", "", "another way")


def page(told: Mapping[str, Any]) -> str:
    """Return the whole page."""
    findings = [finding_of(row) for row in told["rows"]]
    text = _HEAD.format(
        date=told["date"],
        commits=" and ".join(sorted({row["commit"] for row in told["rows"]})),
        machine=told["machine"],
        minutes=max(1, told["took_s"] / 60),
    )
    table = [_cells(_COLUMNS), _cells(["---"] * len(_COLUMNS)), *(_cells(_row(finding)) for finding in findings)]
    missing = [finding.name for finding in findings if finding.kept is False]
    end = f"Rows that miss a promise: {', '.join(missing)}.\n" if missing else "Every promise is kept.\n"
    return text + "\n".join(table) + "\n\n" + end


def as_json(findings: Iterable[Finding], surroundings: Mapping[str, str], took_s: float) -> dict[str, Any]:
    """Return all figures; each row has the commit at which it was measured, since a later run may add to them."""
    commit = surroundings["commit"]
    rows = [{**finding.as_json(), "commit": commit} for finding in findings]
    return {"date": surroundings["date"], "machine": surroundings["machine"], "took_s": round(took_s), "rows": rows}


def added(told: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Put these rows among those of an earlier run, in place of rows with the same name."""
    again = {row["name"]: row for row in told["rows"]}
    rows = [again.pop(row["name"], row) for row in earlier["rows"]]
    return {**told, "took_s": told["took_s"] + earlier["took_s"], "rows": [*rows, *again.values()]}


def line(finding: Finding) -> str:
    """Return one row for the terminal."""
    measured = "; ".join(check.measured for check in finding.checks)
    return f"{_word(finding):6} {finding.name:14} {measured}"


def missed(told: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each figure that does not keep its promise."""
    return [
        f"{finding.name} misses: {check.measured}, promised {check.promised}"
        for finding in map(finding_of, told["rows"])
        for check in finding.checks
        if check.kept is False
    ]


def _row(finding: Finding) -> list[str]:
    promised = "; ".join(check.promised for check in finding.checks if check.promised)
    measured = "; ".join(f"**{each.measured}**" if each.kept is False else each.measured for each in finding.checks)
    return [
        f"`{finding.name}`",
        finding.title,
        finding.way,
        promised or "nothing",
        measured,
        _word(finding),
        finding.rival,
    ]


def _word(finding: Finding) -> str:
    return {True: "kept", False: "missed", None: ""}[finding.kept]


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
