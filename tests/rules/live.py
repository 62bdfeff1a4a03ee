"""A real Prometheus scrapes two dispatchers and a retrier under load: every rule loads, every panel has data.

    python -m tests.rules.live

Panels that count trouble have none in a healthy budget, so trouble is played: the table says which panel needed which.
A panel is good once its query returns a series, and one that counts trouble once a value is above 0. Four minutes.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.broker.local.services import LocalServices
from headrace.broker.observability.panels import PANELS, Panel
from tests.rules.budget import Budget, budget
from tests.rules.gateway import begin_gateway
from tests.rules.prometheus import Prometheus, scraping

WITHIN_S: Final = 420
QUOTA: Final = ("--tokens-per-minute", "120000", "--requests-per-minute", "6000", "--latency", "0.2-0.6")
SHARED: Final = (*QUOTA, "--behaviour", "foreign:share=0.5,burst=0.02", "--behaviour", "flex-refused")
"""Another client takes half of the tokens, and the flex tier has no capacity."""

DOWN: Final = (*QUOTA, "--behaviour", "error-storm:from_s=0,to_s=86400,rate=1")
SPENT: Final = (*QUOTA, "--long-429-rate", "0.2", "--long-429-s", "100")
"""A project's daily limit refuses one call in five."""

NEEDS: Final[Mapping[str, str]] = {
    "late_share": "an objective of 1 s, and bursts that wait longer",
    "foreign_share": "another client that takes half of the tokens; counted two minutes later",
    "refused_share": "the other client, which spends what answers had promised",
    "breaker_open": "an upstream that answers 503 for a while",
    "tier_waiting": "requests for the flex tier, which has no capacity",
    "failed_per_second": "requests with a body that the API refuses",
    "dead_letters": "the same, and records that are no JSON",
    "retries_waiting": "the daily limit's refused calls, which are parked",
    "retries_by_kind": "the same",
    "next_call_seconds": "the same: the quota is used up",
    "gateway_hang_up_share": "a gateway's clients, of which each fourth leaves before its answer",
}
"""Panels that a healthy budget leaves empty or at 0, and the trouble that is played for each."""

ZERO: Final[Mapping[str, str]] = {
    "measured_rate": "0: the server's own numbers are followed",
    "contained": "0: no defect was met",
    "retries_held_back": "0: the lanes take back all retries that are due",
    "gateway_joins": "0: these clients repeat nothing",
}
"""Panels of which 0 is all that this run can show, and why."""


@dataclass
class Proof:
    """What was seen of one panel."""

    panel: Panel
    series: int = 0
    largest: float = 0.0
    after_s: float | None = None

    @property
    def is_good(self) -> bool:
        return self.after_s is not None


async def trouble(stage: Budget) -> None:
    """Play every trouble in turn, again and again, beside the ordinary load."""
    while True:
        await stage.send("urgent", 2, body={"messages": "none"})
        await stage.send_garbage("bulk", 2)
        await stage.send("bulk", 2, body={"service_tier": "flex"})
        await stage.send("urgent", 30, words=300)
        await asyncio.sleep(10)


async def servers(stage: Budget) -> None:
    """Let OpenAI be down for 40 s after three minutes, and let a daily limit refuse calls from then on."""
    await asyncio.sleep(180)
    await stage.openai.serve(*DOWN)
    await asyncio.sleep(40)
    await stage.openai.serve(*SPENT)


async def look(prometheus: Prometheus, proofs: list[Proof], began_s: float) -> None:
    """Ask the query of each panel that has shown nothing so far."""
    for proof in proofs:
        if proof.is_good:
            continue
        found = await prometheus.query(proof.panel.query)
        wrong = [labels for labels, _ in found if labels.keys() != {"job", *proof.panel.by}]
        assert not wrong, f"{proof.panel.key} has the labels {sorted(wrong[0])}"
        proof.series = max(proof.series, len(found))
        proof.largest = max([proof.largest, *(value for _, value in found)])
        if found and (proof.panel.key not in NEEDS or proof.largest > 0):
            proof.after_s = time.monotonic() - began_s


async def check_rules(prometheus: Prometheus) -> tuple[list[str], list[str]]:
    """Return the rules that Prometheus could not evaluate, and the recorded series that have no data."""
    rules = await prometheus.rules()
    broken = [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]
    recorded = sorted({rule["name"] for rule in rules if rule["type"] == "recording"})
    empty = [
        name for name in recorded if not (await prometheus.get("query", query=f"last_over_time({name}[10m])"))["result"]
    ]
    _say(f"\n{len(rules)} rules are loaded, {len(broken)} with an error; {len(recorded)} recorded, {len(empty)} empty")
    return broken, empty


async def play(folder: Path) -> int:
    """Run it; 1 if anything is missing."""
    proofs = [Proof(panel) for panel in PANELS]
    lanes = {"HEADRACE_LANES__URGENT__OBJECTIVE_S": "1"}
    async with (
        LocalServices() as services,
        budget(services, "live", folder, dispatchers=2, upstream=SHARED, **lanes) as stage,
    ):
        stage.begin_load(("urgent", "standard", "bulk"), every_s=0.3)
        door = await begin_gateway(stage, folder)
        async with scraping({stage.job: [*stage.targets, door.target]}, folder) as prometheus:
            tasks = [asyncio.create_task(each) for each in (trouble(stage), servers(stage), door.call())]
            began_s = time.monotonic()
            try:
                while time.monotonic() - began_s < WITHIN_S and not all(proof.is_good for proof in proofs):
                    await look(prometheus, proofs, began_s)
                    await asyncio.sleep(5)
                broken, empty = await check_rules(prometheus)
            finally:
                for task in tasks:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
    return _report(proofs, broken, empty)


def _report(proofs: list[Proof], broken: list[str], empty: list[str]) -> int:
    _say(f"\n{'panel':<20} {'series':>6} {'largest':>12}  {'after':>6}  needed")
    for proof in proofs:
        after = "never" if proof.after_s is None else f"{proof.after_s:.0f} s"
        needed = NEEDS.get(proof.panel.key) or ZERO.get(proof.panel.key, "")
        _say(f"{proof.panel.key:<20} {proof.series:>6} {proof.largest:>12.4g}  {after:>6}  {needed}")
    missing = [proof.panel.key for proof in proofs if not proof.is_good]
    for line in (*broken, *(f"recorded, and empty: {name}" for name in empty)):
        _say(line)
    _say(
        f"\n{len(proofs) - len(missing)} of {len(proofs)} panels have data"
        + (f"; not: {', '.join(missing)}" if missing else "")
    )
    return 1 if missing or broken or empty else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="headrace-rules-") as name:
        sys.exit(asyncio.run(play(Path(name))))
