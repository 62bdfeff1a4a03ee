"""Faults in what becomes of two requests with one id: whose outcome it is, and which sender is told of the conflict."""

from typing import Any
from unittest.mock import patch

from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.requests.triage import CONFLICT, Triage
from headrace.broker.core.ticket import Candidate, Ticket
from headrace.broker.service.payloads import Payload
from headrace.broker.service.publishing import outcomes
from headrace.schemas.chunk import Chunk
from headrace.schemas.dead_letter import Origin
from headrace.schemas.expectation import BODY, TENANT, Expectation
from headrace.schemas.outcome import Completed, Cost, Failed
from headrace.schemas.replay_codec import new_id_of
from tests.simulation.service.mutants.committing import Patch
from tests.simulation.service.mutants.planting import planted

_differences = Expectation.differences


@planted(11)
def a_conflict_is_told_to_no_sender() -> Patch:
    """A request whose id is another's has a dead letter, and no outcome."""
    return patch("headrace.broker.service.wiring.apart_hash", lambda _cargo, _nth: b"")


@planted(1, 11)
def a_conflict_fails_under_the_id_of_the_other() -> Patch:
    """Where two requests have one id, both are answered under it."""
    return patch.object(outcomes, "identity_of", lambda cargo, _fail: (cargo.content.request_id, None))


@planted(11)
def all_conflicts_of_an_id_have_one_identity() -> Patch:
    """The identity of a conflict is made of its id alone: its further records have no outcome."""
    nowhere = Origin("", 0, 0)
    return patch.object(outcomes, "new_id_of", lambda request_id, _place: new_id_of(request_id, nowhere))


@planted(1)
def a_conflict_takes_an_id_that_a_producer_has_chosen() -> Patch:
    """The id that a conflict is given has a request of its own, and is answered a second time."""

    def contest(self: Triage, ticket: Ticket, candidate: Candidate, now_ms: int) -> None:
        own = Identity(self._apart(ticket.number, 1), 0, candidate.identity.fingerprint)
        ticket.contested = candidate
        ticket.set_candidate(candidate.apart(own))
        self._settling.settle(ticket, CONFLICT, now_ms)

    return patch.object(Triage, "_contest", contest)


@planted(11)
def an_answer_does_not_prove_whose_it_is() -> Patch:
    """Completed carries neither tenant nor digest."""
    whole = outcomes.completed

    def completed(cargo: Payload, term: int, cost: Cost | None = None) -> Any:
        return whole(cargo, term, cost).model_copy(update={"tenant": None, "request_digest": None})

    return patch("headrace.broker.service.publishing.records.completed", completed)


def _blind_to(kind: str) -> Patch:
    def differences(self: Expectation, told: Completed | Failed | Chunk) -> tuple[str, ...]:
        return tuple(each for each in _differences(self, told) if each != kind)

    return patch.object(Expectation, "differences", differences)


@planted(11)
def a_client_compares_no_body() -> Patch:
    """A client takes the answer to another body of its tenant."""
    return _blind_to(BODY)


@planted(11)
def a_client_compares_no_tenant() -> Patch:
    """A client takes the answer to the same body of another tenant."""
    return _blind_to(TENANT)


@planted(11)
def a_conflict_is_told_to_whoever_waits_for_the_id() -> Patch:
    """The request that has the id is told of the conflict of another one."""

    def is_told(self: Expectation, outcome: Completed | Failed) -> bool:
        return isinstance(outcome, Failed) and outcome.submitted_id == self.id

    return patch.object(Expectation, "is_told_of_conflict", is_told)


@planted(11)
def a_conflict_does_not_say_with_which_id_it_was_sent() -> Patch:
    """Its outcome stands in the results under an id that its sender has never heard of."""
    whole = outcomes.failed

    def failed(cargo: Payload, fail: Any, term: int, cost: Cost | None = None) -> Any:
        return whole(cargo, fail, term, cost).model_copy(update={"submitted_id": None})

    return patch("headrace.broker.service.publishing.records.failed", failed)
