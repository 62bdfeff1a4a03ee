"""The short form of chaos: a dozen faults under load in two minutes, each of another kind, the same ones every time."""

import time
from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.run import play

SEED = 20261126
WITHIN_S = 120
SHORT = (
    "leader killed",
    "leader told to leave",
    "leader stopped, longer than its lease",
    "leader's links to Kafka severed",
    "leader's link to Redis silent",
    "leader's link to OpenAI severed",
    "standby killed",
    "retrier killed",
    "retrier stopped, longer than its lease",
    "Kafka node killed",
    "Redis killed",
    "Redis emptied",
)


@pytest.mark.timeout(240)
@pytest.mark.usefixtures("linked_kafka")
async def test_a_dozen_faults_lose_nothing_double_nothing_and_leave_nothing_stuck(tmp_path: Path) -> None:
    assert set(SHORT) <= set(FAULTS)
    begun_s, lines = time.monotonic(), list[str]()
    report = await play(tmp_path, SEED, len(SHORT), say=lines.append, names=SHORT)
    took_s = time.monotonic() - begun_s
    told = "\n".join([*lines, *report.summary(), f"{took_s:.0f} s in all"])
    print(told)
    assert report.is_fine, told
    assert len(report.played) == len(SHORT)
    assert min(report.totals[name] for name in ("parked", "cancelled", "sent twice", "with deadlines")) > 0, told
    assert min(report.hostile.values()) > 0, told
    assert took_s <= WITHIN_S, told
