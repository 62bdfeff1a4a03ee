"""Faults in what is published: outcomes, dead letters, ledger lines."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from unittest.mock import patch

from headrace.broker.core.commands import Complete, DeadLetterOnly, Decision, Fail, Park, Settlement
from headrace.broker.core.requests import transactions as batches
from headrace.broker.core.ticket import Ticket
from headrace.broker.ports import Outgoing
from headrace.broker.service.payloads import Payload
from headrace.broker.service.publishing import outcomes
from headrace.broker.service.publishing.publication import Publication
from headrace.broker.service.publishing.records import SettlementRecords
from headrace.schemas import topics
from headrace.schemas.outcome import Cost, Usage
from tests.simulation.service.mutants.committing import Patch
from tests.simulation.service.mutants.planting import planted

_records_of = SettlementRecords.of


def _without(kind: type[Decision], suffix: str) -> Patch:
    """Decisions of that kind write nothing to that topic."""

    def of(
        self: SettlementRecords, settlement: Settlement, cargo: Payload, term: int, now: datetime
    ) -> Iterable[Outgoing]:
        for each in _records_of(self, settlement, cargo, term, now):
            if not (isinstance(settlement.decision, kind) and each.topic.endswith(suffix)):
                yield each

    return patch.object(SettlementRecords, "of", of)


@planted(2)
def a_record_without_id_has_no_dead_letter() -> Patch:
    """What cannot be attributed to an id is dropped in silence."""
    return _without(DeadLetterOnly, topics.dead_letters_topic(""))


@planted(10)
def a_failure_has_no_dead_letter() -> Patch:
    """A request fails, and nothing is left of it to be replayed."""
    return _without(Fail, topics.dead_letters_topic(""))


@planted(1)
def a_failure_has_no_outcome() -> Patch:
    """A request fails with a dead letter, and without a word to its producer."""
    return _without(Fail, topics.results_topic(""))


@planted(2)
def what_is_parked_is_not_written() -> Patch:
    """A request leaves its lane for a wait, and no RetryableFailure holds it."""
    return _without(Park, topics.failures_topic(""))


@planted(1)
def answers_are_swapped() -> Patch:
    """Of two answers each goes to the request of the other."""
    whole = outcomes.completed
    last: dict[str, Any] = {}

    def completed(cargo: Payload, term: int, cost: Cost | None = None) -> Any:
        outcome = whole(cargo, term, cost)
        before = last.get("response", outcome.response)
        last["response"] = outcome.response
        return outcome.model_copy(update={"response": before})

    return patch("headrace.broker.service.publishing.records.completed", completed)


@planted(3)
def parked_without_a_ledger_line() -> Patch:
    """The ledger does not hear that a request is parked."""
    whole = batches._entry

    def entry(decision: Decision, ticket: Ticket) -> Any:
        return None if isinstance(decision, Park) else whole(decision, ticket)

    return patch.object(batches, "_entry", entry)


@planted(3)
def answered_without_a_ledger_line() -> Patch:
    """The ledger does not hear that a request is completed."""
    whole = batches._entry

    def entry(decision: Decision, ticket: Ticket) -> Any:
        return None if isinstance(decision, Complete) else whole(decision, ticket)

    return patch.object(batches, "_entry", entry)


@planted(1)
def an_outcome_says_another_run() -> Patch:
    """The outcome of a replay says that it is the first run's."""
    whole = outcomes.completed

    def completed(cargo: Payload, term: int, cost: Cost | None = None) -> Any:
        return whole(cargo, term, cost).model_copy(update={"run": 0})

    return patch("headrace.broker.service.publishing.records.completed", completed)


@planted(1)
def an_outcome_says_what_an_earlier_call_used() -> Patch:
    """A failed request is billed for a call, whatever became of the last one."""
    whole = outcomes.failed

    def failed(cargo: Payload, fail: Fail, term: int, cost: Cost | None = None) -> Any:
        return whole(cargo, fail, term, cost).model_copy(update={"usage": Usage(input_tokens=1)})

    return patch("headrace.broker.service.publishing.records.failed", failed)


@planted(5)
def an_outcome_says_an_old_term() -> Patch:
    """Outcomes carry the term before."""
    whole = Publication.records

    def records(self: Publication, batch: Any, term: int) -> list[Outgoing]:
        older: Any = lambda own, each, cargo, at, now: _records_of(own, each, cargo, at - 1, now)  # noqa: E731
        with patch.object(SettlementRecords, "of", older):
            return whole(self, batch, term)

    return patch.object(Publication, "records", records)
