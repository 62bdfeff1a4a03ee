"""Faults in telling duplicates, conflicts, retries and replays apart."""

from unittest.mock import patch

from headrace.broker.core.dispatch import Dispatch
from headrace.broker.core.events import Event
from headrace.broker.core.identity import dedupe as identities
from headrace.broker.core.identity.dedupe import DedupeDecision, DedupeTable
from headrace.broker.core.identity.outcome_index import Fate, Identity, KnownFate
from headrace.broker.core.requests.triage import Triage
from headrace.broker.service.driver import Driver
from headrace.broker.service.intake import pricer as pricing
from tests.simulation.service.mutants.committing import Patch
from tests.simulation.service.mutants.planting import planted

_judge_settled = identities._judge_settled


@planted(2)
def join_without_settling() -> Patch:
    """Duplicates that wait for the first of their id are never judged again."""
    return patch.object(Triage, "judge_again", lambda _self, _waited, _now_ms: None)


@planted(2)
def a_replay_is_a_duplicate() -> Patch:
    """A replay is taken for the request it replays."""

    def judge(identity: Identity, attempt: int, known: KnownFate | None) -> DedupeDecision:
        found = _judge_settled(identity, attempt, known)
        has_outcome = known is not None and known.fate is not Fate.PARKED
        return DedupeDecision.DONE if has_outcome and found is DedupeDecision.TAKE else found

    return patch.object(identities, "_judge_settled", judge)


@planted(3)
def every_duplicate_is_taken_anew() -> Patch:
    """A record whose id has an outcome is taken for a new request."""

    def judge(identity: Identity, attempt: int, known: KnownFate | None) -> DedupeDecision:
        found = _judge_settled(identity, attempt, known)
        return DedupeDecision.TAKE if found is DedupeDecision.DONE else found

    return patch.object(identities, "_judge_settled", judge)


@planted(3)
def a_duplicate_beside_an_open_one_is_called_too() -> Patch:
    """Of two records of one id that are in memory both are called."""

    def judge(self: DedupeTable, identity: Identity, attempt: int) -> DedupeDecision:
        return DedupeDecision.TAKE if identity.id_hash in self._open else whole(self, identity, attempt)

    whole = DedupeTable.judge
    return patch.object(DedupeTable, "judge", judge)


@planted(3)
def a_duplicate_of_a_parked_one_is_called() -> Patch:
    """A second record of an id that is parked is called before the copy of the first comes back."""

    def judge(identity: Identity, attempt: int, known: KnownFate | None) -> DedupeDecision:
        found = _judge_settled(identity, attempt, known)
        parked = known is not None and known.fate is Fate.PARKED
        return DedupeDecision.TAKE if parked and found is DedupeDecision.DONE else found

    return patch.object(identities, "_judge_settled", judge)


@planted(2)
def the_copy_of_a_parked_one_is_a_duplicate() -> Patch:
    """What the retrier puts back is taken for done."""

    def judge(identity: Identity, attempt: int, known: KnownFate | None) -> DedupeDecision:
        found = _judge_settled(identity, attempt, known)
        return DedupeDecision.DONE if known is not None and known.fate is Fate.PARKED else found

    return patch.object(identities, "_judge_settled", judge)


@planted(2)
def a_conflict_is_a_duplicate() -> Patch:
    """Two requests of one id and different content have one fingerprint."""
    return patch.object(pricing, "fingerprint", lambda _tenant, _endpoint, _body: b"\0" * 8)


@planted(3)
def forget_the_ledger() -> Patch:
    """A successor does not learn which ids were answered."""
    whole = Driver.post

    def post(self: Driver, event: Event) -> None:
        if type(event).__name__ != "LedgerRead":
            whole(self, event)

    return patch.object(Driver, "post", post)


@planted(3)
def an_answer_is_not_remembered() -> Patch:
    """A leader knows of no id that it has answered itself."""
    whole = Dispatch._committed

    def committed(self: Dispatch, event: object, now_ms: int) -> None:
        whole(self, event, now_ms)  # type: ignore[arg-type]
        self.identities._fates._answered.clear()

    return patch.object(Dispatch, "_committed", committed)
