"""Checkers of records that end their readers: which a leader may have given up after its deaths."""

from dataclasses import replace

import pytest

from headrace.schemas import headers as names
from headrace.schemas.ledger import LedgerKind, LedgerRecord
from headrace.schemas.record import Record
from tests.simulation.service.history import DEAD_LETTERS, Commit, History
from tests.simulation.service.run import copied, run
from tests.simulation.service.scenario import PREFIX, Scenario
from tests.simulation.service.test_more_service_checkers import CALM, LATER_S, claim_of


@pytest.fixture(scope="module")
def kept() -> History:
    """A run without faults."""
    return run(replace(Scenario.drawn(1), faults=replace(CALM, redis_emptied=0.0), requests=20, span_s=4.0))


def test_a_record_that_was_convicted_by_two_deaths_with_it_alone_has_a_dead_letter_and_no_more(
    kept: History,
) -> None:
    history = copied(kept)
    sent = next(each for each in history.sent if each.body is not None)
    place, identity = f"{sent.topic}/{sent.partition}/{sent.offset}", (str(sent.id), 0)
    history.commits = [
        replace(commit, outcomes=[each for each in commit.outcomes if each["id"] != sent.id])
        for commit in history.commits
    ]
    deaths = [death_with(1_000, place), death_with(1_001, place)]
    others = [death_with(1_002, place, "another"), death_with(1_003)]
    headers = ((names.REASON, b"crashed"), (names.ORIGIN, place.encode()))
    letter = replace(deaths[0], records={DEAD_LETTERS: (Record(None, None, headers),)}, lines=())
    untouched = history.commits
    history.commits = [*untouched, *deaths, letter]
    assert history.convicted() == {identity}
    assert history.waiting() == set()
    for missing in (0, 1, 2):
        found = [*deaths, letter]
        del found[missing]
        history.commits = [*untouched, *found, *others]
        assert history.convicted() == set(), "one of the two deaths, or the dead letter, is not there"
        assert history.waiting() == {identity}


def death_with(term: int, *suspects: str) -> Commit:
    """The last step of a leader that named these records, and the claim of the next one."""
    step = LedgerRecord(LedgerKind.STEP, term, f"leader of {term}", suspects=suspects)
    lines = (step, claim_of(term + 1, f"leader of {term + 1}"))
    return Commit(LATER_S, f"{PREFIX}.dispatcher", {}, (), (), lines)
