"""Faults in what keeps a single record, answer or refusal from harming others: hostile ones, and books that drift."""

from collections.abc import Mapping
from unittest.mock import patch

from headrace.broker.core.answers import verdict
from headrace.broker.core.answers.meaning import Meaning
from headrace.broker.core.commands import Call, Discard
from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.requests.failing_decisions import FailingDecisions, FailingGroup
from headrace.broker.core.requests.predecessor import PredecessorState
from headrace.broker.core.requests.triage import Triage
from headrace.broker.core.ticket import Garbage, Ticket
from headrace.broker.service.calls import caller
from headrace.broker.service.calls.answer_body import AnswerBody, published
from headrace.broker.service.leadership.ledger_follower import POLL_MS, LedgerFollower
from tests.simulation.service.mutants.committing import Patch
from tests.simulation.service.mutants.planting import planted

NO_ANSWER, REFUSED = "OpenAI, a gateway or a proxy", "Kafka refuses a record"
DEADLY = "decoding a record ends the process"


@planted(2)
def a_header_that_is_no_number_is_a_defect() -> Patch:
    """What a header says is counted with before it is looked at: its request fails for a defect."""

    def number(given: Mapping[str, bytes], name: str, _number_max: int) -> int:
        return int(given.get(name, b"0"))

    return patch("headrace.schemas.request_codec._number", number)


@planted(2, DEADLY)
def what_ended_its_decoder_without_an_id_is_passed_over() -> Patch:
    """A deadly record that names no id is done, without a dead letter."""
    whole = Triage._triage_garbage

    def sort_out(self: Triage, ticket: Ticket, garbage: Garbage, now_ms: int) -> None:
        if garbage.identity is None and garbage.reason == "crashed":
            self._settling.settle(ticket, Discard(), now_ms)
        else:
            whole(self, ticket, garbage, now_ms)

    return patch.object(Triage, "_triage_garbage", sort_out)


@planted(NO_ANSWER)
def what_is_no_answer_is_published() -> Patch:
    """Whatever comes with a 200 completes its request."""

    def anything(text: str | None) -> AnswerBody:
        return published(text) or AnswerBody({"text": text}, b"{}")

    return patch.multiple(caller, published=anything, is_of_the_api=lambda _endpoint, _response: True)


@planted(NO_ANSWER)
def an_attempt_that_failed_ends_its_request() -> Patch:
    """A call that OpenAI could not answer is not made again."""
    return patch.object(verdict, "_FINAL", verdict._FINAL | {Meaning.UPSTREAM_ERROR, Meaning.CONNECTION})


@planted(REFUSED)
def what_kafka_refuses_is_sent_for_ever() -> Patch:
    """A decision that is refused alone is written in the same form again."""
    return patch.object(FailingDecisions, "_shrink", lambda _self, _group, _now_ms, **_refused: None)


@planted(REFUSED)
def what_failed_together_is_blamed_together() -> Patch:
    """Of decisions that were refused in one transaction none is told from the others."""

    def halve(self: FailingDecisions, group: FailingGroup) -> None:
        self._shrink(group, 0, refused=True)

    return patch.object(FailingDecisions, "_halve", halve)


@planted(4)
def every_call_counts_as_repeated() -> Patch:
    """A first call is counted as one that a dead leader had made."""
    return patch.object(PredecessorState, "repeats", lambda _self, _identity: True)


@planted("Kafka hangs for 13 s")
def a_position_that_is_gone_ends_the_process() -> Patch:
    """A follower of the ledger cannot bear that retention has removed what it would read next."""

    async def follow(self: LedgerFollower, timeout_ms: int = POLL_MS) -> int:
        return await self._read_on(timeout_ms)

    return patch.object(LedgerFollower, "follow", follow)


@planted(10)
def the_books_of_the_core_drift() -> Patch:
    """Each call makes what answers hold a byte more than it is."""
    whole = Dispatch._call

    def call(self: Dispatch, ticket: Ticket, now_ms: int) -> Call | None:
        self.flights.held_bytes += 1
        return whole(self, ticket, now_ms)

    return patch.object(Dispatch, "_call", call)
