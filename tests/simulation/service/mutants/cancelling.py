"""Faults in what becomes of a cancel."""

from dataclasses import replace
from typing import Any
from unittest.mock import patch

from headrace.broker.core.commands import Batch, Discard
from headrace.broker.core.identity import dedupe as identities
from headrace.broker.core.identity.dedupe import DedupeDecision
from headrace.broker.core.identity.outcome_index import Fate, Identity, KnownFate
from headrace.broker.core.identity.pending_cancels import CancelRecord, PendingCancels
from headrace.broker.core.requests.triage import Triage
from headrace.broker.core.ticket import State, Ticket
from headrace.broker.service.publishing import ledger_lines as ledger_codec
from tests.simulation.service.mutants.committing import Patch
from tests.simulation.service.mutants.planting import planted

_judge_settled = identities._judge_settled


def _done(self: Triage, ticket: Ticket, now_ms: int) -> None:
    self._settling.settle(ticket, Discard(), now_ms)


@planted(8)
def cancel_is_forgotten() -> Patch:
    """A cancel that comes before its request is done, and not remembered."""
    return patch.object(Triage, "is_cancelled", lambda _self, _ticket: False)


@planted(8)
def a_cancel_ahead_of_its_request_is_done() -> Patch:
    """A cancel of an unknown id is done, and waits for nothing."""
    return patch.object(Triage, "_remember", lambda self, ticket, _cancel, now_ms: _done(self, ticket, now_ms))


@planted(8)
def waiting_cancels_are_not_written() -> Patch:
    """The ledger does not hear of a cancel that waits: it dies with the leader."""
    whole = ledger_codec.step_record

    def step_record(batch: Batch, *rest: Any, **more: Any) -> Any:
        return whole(replace(batch, cancels=()), *rest, **more)

    return patch("headrace.broker.service.publishing.ledger_steps.step_record", step_record)


@planted(8)
def waiting_cancels_are_not_read() -> Patch:
    """A successor does not learn which cancels wait."""
    return patch.object(PendingCancels, "record", lambda _self, _cancel, _stated_ms: None)


@planted(8)
def a_cancel_leaves_a_call_alone() -> Patch:
    """A cancel whose request is called is done, and the request answered as if it had not come."""
    whole = Triage._cancel

    def heed(self: Triage, ticket: Ticket, cancel: CancelRecord, now_ms: int) -> None:
        first = self._registry.answering(cancel.id_hash)
        if first is not None and first.state is State.CALLING:
            _done(self, ticket, now_ms)
        else:
            whole(self, ticket, cancel, now_ms)

    return patch.object(Triage, "_cancel", heed)


@planted(8)
def a_cancel_leaves_what_is_parked_alone() -> Patch:
    """A cancel whose request is parked is done, and its copy called when it comes back."""
    whole = Triage._cancel_settled

    def heed(self: Triage, ticket: Ticket, cancel: CancelRecord, now_ms: int) -> None:
        if self._identities.parked(cancel.id_hash) is not None:
            _done(self, ticket, now_ms)
        else:
            whole(self, ticket, cancel, now_ms)

    return patch.object(Triage, "_cancel_settled", heed)


@planted(1)
def the_copy_of_what_was_withdrawn_is_taken() -> Patch:
    """A request that was cancelled while parked is answered once more when its copy comes back."""

    def judge(identity: Identity, attempt: int, known: KnownFate | None) -> DedupeDecision:
        if known is not None and known.fate is Fate.WITHDRAWN and attempt > known.attempt:
            return DedupeDecision.TAKE
        return _judge_settled(identity, attempt, known)

    return patch.object(identities, "_judge_settled", judge)
