"""Releases side by side, each leading for a while: what the next one adds disturbs nobody, and nothing is lost by it.

There is one release so far. So the next one is played: it writes fields that this one does not know, wherever a later
release may add some, and this one reads what it wrote, leads after it, and hands back.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from headrace.broker.ports import Outgoing, StoredOffset, TopicPartition, TransactionLog
from headrace.schemas.headers import GRANT
from headrace.schemas.record import Record
from tests.former_releases import LATER_LEDGER_FIELDS
from tests.long_proofs import with_long
from tests.simulation.service.history import FAILURES, LEDGER, RESULTS
from tests.simulation.service.process import DispatcherProcess
from tests.simulation.service.run import simulate
from tests.simulation.service.scenario import Scenario
from tests.simulation.service.wires import Transactions
from tests.simulation.service.world import World

FROM, SEEDS, AT_ONCE = 70_000, 40, 10
EACH_TIME = 1
"""So many batches belong to every `make test`; the others, to `make test-long`."""
WRITES_VALUES = (LEDGER, FAILURES, RESULTS)


class Next(DispatcherProcess):
    """A dispatcher of the next release."""

    def producer(self) -> TransactionLog:
        return Adding(self.link, self.wires, transactional_id=self.group, process=self.name)


class Adding(Transactions):
    """Fields and headers that nobody knows yet, in all that is written."""

    async def transact(
        self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
    ) -> Sequence[int]:
        later = [replace(each, record=added(each.topic, each.record)) for each in records]
        return await super().transact(later, offsets)


def added(topic: str, record: Record) -> Record:
    headers = record.headers if topic == LEDGER else (*record.headers, ("headrace-next", b"\xff"))
    if topic not in WRITES_VALUES:
        return replace(record, headers=headers)
    value = json.loads(record.value or b"{}") | {"next": {"a": [1, None]}}
    for level in value.get("levels", ()):
        level["next"] = 1.5
        level.setdefault("laws", {})["next/endpoint"] = "next-law"
    return replace(record, headers=headers, value=json.dumps(value).encode())


class Before(DispatcherProcess):
    """A dispatcher of the release before: it tells no deadline of what is parked, and grants no run."""

    def producer(self) -> TransactionLog:
        return Leaving(self.link, self.wires, transactional_id=self.group, process=self.name)


class Leaving(Transactions):
    """What this release has added is left out again."""

    async def transact(
        self, records: Sequence[Outgoing], offsets: Mapping[TopicPartition, StoredOffset]
    ) -> Sequence[int]:
        former = [replace(each, record=without(each.topic, each.record)) for each in records]
        return await super().transact(former, offsets)


def without(topic: str, record: Record) -> Record:
    headers = tuple(header for header in record.headers if header[0] != GRANT)
    if topic != LEDGER:
        return replace(record, headers=headers)
    value = json.loads(record.value or b"{}")
    former = {name: each for name, each in value.items() if name not in LATER_LEDGER_FIELDS}
    return replace(record, value=json.dumps(former).encode())


class Rolling(World):
    """Every other dispatcher is of another release; `releases` by their names."""

    def __init__(self, scenario: Scenario, other: type[DispatcherProcess]) -> None:
        super().__init__(scenario)
        self.other = other
        self.releases: dict[str, type[DispatcherProcess]] = {}

    def start_dispatcher(self) -> None:
        release = DispatcherProcess if len(self.releases) % 2 else self.other
        self.releases[f"{release.role}-{self._born + 1}"] = release
        self._start(release)

    def hand_overs(self) -> set[tuple[type, type]]:
        """From which release to which one the lead went."""
        led = [self.releases[owner] for _, _, owner in self.history.claims()]
        return set(pairwise(led))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", with_long(range(FROM, FROM + SEEDS, AT_ONCE), EACH_TIME))
@pytest.mark.parametrize("other", [Next, Before])
def test_this_release_and_another_take_over_from_each_other(other: type[DispatcherProcess], first: int) -> None:
    worlds = list[Rolling]()

    def made(scenario: Scenario) -> Rolling:
        faults = replace(scenario.faults, crash=0.2, drain=0.2)
        worlds.append(Rolling(replace(scenario, faults=faults, dispatchers=2, span_s=16.0), other))
        return worlds[-1]

    broken = [report for seed in range(first, first + AT_ONCE) if (report := simulate(seed, made)).broken]
    assert not broken, "\n".join(report.sentence() for report in broken) + "\n" + broken[0].trace
    taken = set[tuple[type, type]]().union(*(world.hand_overs() for world in worlds))
    assert taken >= {(other, DispatcherProcess), (DispatcherProcess, other)}
    assert sum(len(commit.parked) for world in worlds for commit in world.history.commits) > 0
