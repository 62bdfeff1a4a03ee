"""The ledger line of a transaction, and the ids of topics in it."""

from dataclasses import replace
from typing import Any

from headrace.broker.core.progress.partition_progress import PartitionProgress
from headrace.broker.core.ticket import LanePartition, Source
from headrace.broker.service.calls.base_url_proof import mark_of
from headrace.broker.service.publishing.ledger_steps import _IDS_SAID_EVERY_MS as SAID_EVERY_MS
from headrace.schemas.ledger import LedgerKind, LedgerRecord
from tests.unit.service.publication_rig import BATCH
from tests.unit.service.publishing.test_records_records import KEY, Bench

IDS = {"t.requests.standard": "id-1"}


def test_before_the_first_batch_the_line_says_nothing() -> None:
    assert Bench().publication.line == LedgerRecord(LedgerKind.STEP, 0, "me")


def test_a_line_names_the_records_read_with_caution_and_the_key_of_grants() -> None:
    bench = Bench()
    bench.publication.records(replace(BATCH, suspects=(Source(LanePartition("bulk", 3), 42),)), 7)
    line = bench.publication.line
    assert (line.suspects, line.key, line.key_since_s) == (("t.requests.bulk/3/42",), *KEY)
    assert (line.term, line.owner) == (7, "me")


def test_the_ids_of_topics_are_said_with_all_partitions_and_again_now_and_then() -> None:
    bench = Bench()
    stored = {LanePartition("standard", number): PartitionProgress(5).store(1) for number in range(3)}
    one = {place: stored[place] for place in list(stored)[:1]}

    def said(offsets: Any, after_ms: int = 0) -> dict[str, str]:
        bench.loop_s += after_ms / 1_000
        bench.publication.records(replace(BATCH, offsets=offsets), 7)
        return dict(bench.publication.line.topics)

    bench.publication.begin(IDS)
    assert [said(stored), said(stored), said(one)] == [IDS, {}, {}]
    assert [said(stored, SAID_EVERY_MS - 1), said(one, 1), said(stored), said(stored)] == [{}, {}, IDS, {}]
    bench.publication.begin(IDS)
    assert said(stored) == IDS


def test_in_a_short_window_the_ids_of_topics_are_said_four_times() -> None:
    bench = Bench(dedupe={"window_s": 1_200})
    bench.publication.begin(IDS)
    said = []
    for after_s in (0.0, 299.999, 0.001):
        bench.loop_s += after_s
        bench.publication.records(BATCH, 7)
        said.append(bench.publication.line.topics)
    assert said == [IDS, {}, IDS]


def test_a_line_says_that_the_base_url_has_answered() -> None:
    bench = Bench()
    bench.publication.records(BATCH, 7)
    assert bench.publication.line.proved == ""
    bench.addressee.proved = True
    bench.publication.records(BATCH, 7)
    assert bench.publication.line.proved == mark_of("https://api.openai.com/v1")
