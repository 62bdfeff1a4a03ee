"""A settlement whose records our own code cannot make is published in its smallest true form, and holds up no other."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from headrace.broker.core.commands import (
    Complete,
    DeadLetterOnly,
    Decision,
    Discard,
    Fail,
    Park,
    SettledEntry,
    Settlement,
    Withdraw,
)
from headrace.broker.core.identity.dedupe import Fate, Identity
from headrace.broker.core.requests.triage import CONFLICT
from headrace.broker.core.ticket import TicketNumber
from headrace.broker.ports import Outgoing
from headrace.broker.service.payloads import Payload
from headrace.broker.service.publishing.costing import Costing
from headrace.broker.service.publishing.outcomes import timings_of
from headrace.broker.service.publishing.short_forms import ShortForms, withdrawn
from headrace.broker.testing.prices import MemoryPrices
from headrace.schemas.codec import decode_outcome
from headrace.schemas.control import Cancel
from headrace.schemas.dead_letter import Origin
from headrace.schemas.expectation import Expectation
from headrace.schemas.ids import id_hash
from headrace.schemas.ledger import LedgerState, decode_ledger
from headrace.schemas.outcome import Cost, Failed, Timings, Usage
from headrace.schemas.record import Record
from headrace.schemas.replay_codec import new_id_of
from headrace.schemas.request_codec import DecodedRequest, Undecodable
from tests.unit.service.publication_rig import BATCH, NOW, UNPRICED, Rig, failing, headers
from tests.unit.service.rig import Process, World, led, until
from tests.virtual_time import VIRTUAL_TIME


class Unwritable(Mapping[str, object]):
    """What no code can put into a record."""

    def __getitem__(self, name: str) -> object:
        raise RuntimeError(name)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError


def whose_of(cargo: Payload) -> dict[str, Any]:
    """What tells a sender that an outcome is that of its request; nothing of what is no request."""
    if not isinstance(cargo.content, DecodedRequest):
        return {}
    asked = Expectation.of(cargo.content.request)
    return {"tenant": asked.tenant, "endpoint": asked.endpoint, "request_digest": asked.request_digest}


class Unreadable(tuple[tuple[str, bytes], ...]):
    """Headers that no code can read."""

    __slots__ = ()

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        raise RuntimeError


SETTLEMENT = Settlement(TicketNumber(1), Fail("rejected", "No."))
PARK = Park("quota", "No credit.", 200_000, 1, 0)


def entry(cargo: Payload, fate: Fate) -> SettledEntry:
    assert isinstance(cargo.content, DecodedRequest)
    request = cargo.content.request
    return SettledEntry(Identity(id_hash(request.id), cargo.content.run, b"........"), 1, fate)


@pytest.mark.parametrize(
    ("decision", "fate"), [(Complete(), Fate.COMPLETED), (PARK, Fate.PARKED)], ids=["completed", "parked"]
)
def test_an_outcome_that_cannot_be_made_is_failed_here_and_in_the_ledger_and_holds_up_no_other(
    decision: Decision, fate: Fate
) -> None:
    rig = Rig()
    before, bad, after = rig.request(id="a"), rig.request(id="bad"), rig.request(id="b")
    bad.response = bad.error = Unwritable()  # type: ignore[assignment]  # a defect
    settled = (entry(before, Fate.COMPLETED), entry(bad, fate), entry(after, Fate.COMPLETED))
    settlements = tuple(map(Settlement, rig.hold.cargo, (Complete(), decision, Complete())))
    with capture_logs() as lines:
        *outgoing, ledger = rig.publication.records(replace(BATCH, settlements=settlements, settled=settled), 7)
    outcomes = [decode_outcome(one.record.value, one.record.headers) for one in outgoing if one.topic == "t.results"]
    assert [(one.id, one.status) for one in outcomes] == [("a", "completed"), ("bad", "failed"), ("b", "completed")]
    failed = outcomes[1]
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.attempts, failed.term) == ("crashed", 2, 7)
    (letter,) = [one for one in outgoing if one.topic == "t.dead-letters"]
    assert (headers(letter)["headrace-reason"], headers(letter)["headrace-origin"]) == (
        "crashed",
        "t.requests.standard/3/42",
    )
    assert letter.record.value == bad.record.value
    states = [each.state for each in decode_ledger(ledger.record.value or b"").settled]
    assert states == [LedgerState.COMPLETED, LedgerState.FAILED, LedgerState.COMPLETED]
    assert rig.publication.crashed == {list(rig.hold.cargo)[1]}
    assert [(line["step"], line["offset"]) for line in lines if line["event"] == "contained"] == [("encode", 42)]


def test_what_crashed_is_forgotten_with_the_next_batch() -> None:
    rig = Rig()
    rig.request().response = Unwritable()
    rig.published(Complete())
    assert rig.publication.crashed
    rig.hold.cargo.clear()
    rig.request()
    rig.published(Complete())
    assert not rig.publication.crashed


def test_what_failed_anyway_says_so_in_fewer_words() -> None:
    rig = Rig()
    rig.request().error = Unwritable()  # type: ignore[assignment]  # a defect
    outcome, letter = rig.published(Fail("rejected", "No."))
    failed = decode_outcome(outcome.record.value, outcome.record.headers)
    assert isinstance(failed, Failed)
    assert (failed.id, failed.reason, failed.message, failed.error) == ("lead-1", "rejected", "No.", None)
    assert headers(letter)["headrace-reason"] == "rejected"
    assert not rig.publication.crashed


def test_one_whose_id_is_anothers_has_an_id_of_its_own_in_fewer_words_too() -> None:
    rig = Rig()
    cargo = rig.request()
    assert isinstance(cargo.content, DecodedRequest)
    cargo.content, cargo.error = replace(cargo.content, run=3), Unwritable()  # type: ignore[assignment]  # a defect
    outcome, letter = rig.published(CONFLICT)
    told = decode_outcome(outcome.record.value, outcome.record.headers)
    assert isinstance(told, Failed)
    own = new_id_of("lead-1", Origin("t.requests.standard", 3, 42))
    assert (told.id, told.run, told.submitted_id, told.reason) == (own, 0, "lead-1", "id_conflict")
    assert (outcome.record.key, letter.record.value) == (b"lead-1", cargo.record.value)
    asked = cargo.content.request
    assert Expectation.of(asked).is_told_of_conflict(told), "its sender learns at once"


@pytest.mark.parametrize("unwritable", [{"body": Unwritable()}, {"tenant": "\ud800"}])
def test_whose_it_is_is_left_out_where_that_cannot_be_written(unwritable: dict[str, object]) -> None:
    rig = Rig()
    cargo = rig.request()
    assert isinstance(cargo.content, DecodedRequest)
    odd = cargo.content.request.model_copy(update=unwritable)
    cargo.content = replace(cargo.content, request=odd)
    outcome, _ = rig.published(CONFLICT)
    told = decode_outcome(outcome.record.value, outcome.record.headers)
    assert (told.tenant, told.endpoint, told.request_digest) == (None, None, None)


def test_a_cancelled_one_in_fewer_words_has_no_dead_letter_either() -> None:
    rig = Rig()
    rig.request().error = Unwritable()  # type: ignore[assignment]  # a defect
    (outcome,) = rig.published(Fail("cancelled", "It was."))
    assert headers(outcome)["ce_subject"] == "lead-1"


def test_a_record_that_cannot_be_copied_leaves_a_dead_letter_without_content() -> None:
    for decision in (
        Fail("rejected", "No."),
        DeadLetterOnly("undecodable", "No."),
        DeadLetterOnly("undecodable", "No.", range(7, 9)),
    ):
        rig = Rig()
        cargo = rig.request()
        cargo.record = Record(b"key", b"value", Unreadable())
        outgoing = rig.published(decision)
        letter = outgoing[-1]
        assert letter.topic == "t.dead-letters"
        assert (letter.record.key, letter.record.value) == (None, None)
        lost = isinstance(decision, DeadLetterOnly) and decision.lost
        assert headers(letter)["headrace-origin"] == f"t.requests.standard/3/{7 if lost else 42}"
        assert headers(letter)["headrace-message"].startswith("A defect in the dispatcher")
        assert len(outgoing) == (2 if isinstance(decision, Fail) else 1)


def test_an_id_that_cannot_be_told_leaves_the_place_of_its_record() -> None:
    rig = Rig()
    cargo = rig.request()
    cargo.calls = Unwritable()  # type: ignore[assignment]  # a defect
    with capture_logs() as lines:
        (letter,) = rig.published(Fail("rejected", "No."))
    assert headers(letter)["headrace-origin"] == "t.requests.standard/3/42"
    assert headers(letter)["headrace-reason"] == "crashed"
    assert len([line for line in lines if line["event"] == "contained"]) == 2


def test_a_withdrawal_in_fewer_words_is_one_still() -> None:
    rig = Rig()
    cargo = rig.cargo(b"{}")
    cargo.content = Cancel(id="lead-1")
    cargo.submitted_at = Unwritable()  # type: ignore[assignment]  # never read for it
    (outcome,) = rig.publication._short_forms.of(
        Settlement(TicketNumber(1), Withdraw(2, 3, "Cancelled.")), cargo, RuntimeError(), term=7, now=NOW
    )
    failed = decode_outcome(outcome.record.value, outcome.record.headers)
    assert (failed.id, failed.run, failed.attempts, failed.status) == ("lead-1", 2, 3, "failed")


@pytest.mark.parametrize("of_tenant", [True, False])
def test_a_withdrawal_tells_the_tenant_if_it_is_known_to_be_that_of_the_request(*, of_tenant: bool) -> None:
    cargo = Rig().cargo(b"{}")
    cargo.content = Cancel(id="lead-1", tenant="acme")
    failed = withdrawn(cargo, Withdraw(2, 3, "Cancelled.", of_tenant), 7)
    assert failed.tenant == ("acme" if of_tenant else None)


def test_a_copy_that_cannot_be_made_is_none() -> None:
    rig = Rig()
    settlement = Settlement(TicketNumber(1), Discard(returned=True))
    assert rig.publication._short_forms.of(settlement, rig.request(), RuntimeError(), term=7, now=NOW) == []


@VIRTUAL_TIME
async def test_an_outcome_that_cannot_be_written_holds_up_no_other_and_a_successor_knows_its_fate() -> None:
    """Before, the exception ended every leader in turn, each of which had called, and paid for, the request again."""
    world = World()
    process = Process(world, "me").start()
    await led(process)
    for number in range(20):
        world.submit("bad" if number == 10 else f"good-{number}", "standard")
    await until(lambda: world.upstream.calls["bad"] == 1)
    for cargo in process.hold.cargo.values():
        if isinstance(cargo.content, DecodedRequest) and cargo.content.request.id == "bad":
            cargo.submitted_at = Unwritable()  # type: ignore[assignment]  # a defect
    await until(lambda: len(world.outcomes()) == 20)
    assert set(world.counts().values()) == {1}
    (failed,) = [outcome for outcome in world.outcomes() if outcome["status"] == "failed"]
    assert (failed["id"], failed["reason"]) == ("bad", "crashed")
    assert len(world.dead_letters()) == 1
    assert process.metric("headrace_contained_total", {"step": "encode"}) == 1
    assert process.metric("headrace_dead_letters_total", {"reason": "crashed"}) == 1
    assert process.core.idle
    assert process.core.flights.held_bytes == 0
    fate = process.core.identities.fate(id_hash("bad"))
    assert fate is not None
    assert fate[0] is Fate.FAILED
    await process.kill()
    successor = Process(world, "next").start()
    await led(successor)
    assert successor.core.identities.fate(id_hash("bad")) == fate
    world.submit("bad", "standard")
    world.submit("last", "standard")
    await until(lambda: len(world.outcomes()) == 21)
    assert world.upstream.calls["bad"] == 1
    await successor.end()


@pytest.mark.parametrize(
    ("content", "name", "run"),
    [(None, "lead-1", 3), (Undecodable("No.", "lead-2", run=4), "lead-2", 4), (Undecodable("No.", run=4), "", 4)],
)
def test_the_fewest_words_still_say_whose_outcome_it_is_and_of_which_run(
    content: Undecodable | None, name: str, run: int
) -> None:
    rig, told = Rig(), []
    cargo = rig.request()
    assert isinstance(cargo.content, DecodedRequest)
    cargo.content = content or replace(cargo.content, run=3)
    cargo.upstream_request_id = "req_1"
    forms = ShortForms(
        "t",
        lambda *step, **place: told.append((*step, place)),
        lambda *_: Outgoing("t.letters", cargo.record),
        UNPRICED,
    )
    outcome, _ = forms.of(SETTLEMENT, cargo, error := RuntimeError(), term=7, now=NOW)
    whose = whose_of(cargo)
    told_of = {"reason": "rejected", "message": "No.", "attempts": 2, "upstream_request_id": "req_1", "term": 7}
    failed = Failed(id=name, run=run, lane="standard", **told_of, **whose)
    assert decode_outcome(outcome.record.value, outcome.record.headers) == failed
    assert told == [("encode", error, {"topic": "t.requests.standard", "partition": 3, "offset": 42})]


def test_the_fewest_words_on_a_conflict_stand_under_an_id_of_its_own() -> None:
    rig = Rig()
    cargo = rig.request()
    assert isinstance(cargo.content, DecodedRequest)
    cargo.content = replace(cargo.content, run=3)
    forms = ShortForms("t", lambda *_, **__: None, lambda *_: Outgoing("t.letters", cargo.record), UNPRICED)
    outcome, _ = forms.of(Settlement(TicketNumber(1), CONFLICT), cargo, RuntimeError(), term=7, now=NOW)
    told = decode_outcome(outcome.record.value, outcome.record.headers)
    assert told == Failed(
        id=new_id_of("lead-1", Origin("t.requests.standard", 3, 42)),
        run=0,
        submitted_id="lead-1",
        lane="standard",
        reason="id_conflict",
        message=CONFLICT.sentence,
        attempts=2,
        term=7,
        **whose_of(cargo),
    )
    assert outcome.record.key == b"lead-1"


def paid(rig: Rig) -> Payload:
    cargo = rig.request(template="first-mail", body={"model": "gpt-4o-mini", "service_tier": "flex"})
    cargo.paid, cargo.usage, cargo.model_served = True, Usage(input_tokens=10, output_tokens=1), "gpt-x"
    return cargo


def shortened(cargo: Payload, costing: Costing | None = None) -> Failed:
    forms = ShortForms(
        "t",
        lambda *_, **__: None,
        lambda *_: Outgoing("t.letters", cargo.record),
        costing or Costing(MemoryPrices(), failing),
    )
    outcome, _ = forms.of(SETTLEMENT, cargo, RuntimeError(), term=7, now=NOW)
    told = decode_outcome(outcome.record.value, outcome.record.headers)
    assert isinstance(told, Failed)
    return told


def test_the_fewest_words_say_what_was_paid_and_when() -> None:
    cargo = paid(Rig())
    told = shortened(cargo)
    assert (told.model, told.template, told.usage, told.charge_tokens) == ("gpt-x", "first-mail", cargo.usage, 33)
    assert told.cost == Cost(micro_usd=14.0, price_list="memory")
    assert told.timings == timings_of(cargo)
    cargo.forget_bill()
    told = shortened(cargo)
    assert (told.model, told.usage, told.cost, told.timings) == (None, None, None, Timings())


def test_of_what_was_paid_the_part_stays_that_can_be_written() -> None:
    cargo = paid(Rig())
    cargo.taken_ms = Unwritable()  # type: ignore[assignment]  # a defect
    told = shortened(cargo)
    assert (told.usage, told.timings) == (cargo.usage, Timings())
    cargo = paid(Rig())
    cargo.charge = Unwritable()  # type: ignore[assignment]  # a defect
    told = shortened(cargo)
    assert (told.usage, told.charge_tokens, told.timings) == (None, None, timings_of(cargo))
    assert told.template == "first-mail"


def test_an_answer_that_cannot_be_written_leaves_its_cost_and_a_whole_letter() -> None:
    rig = Rig()
    rig.publish_with(Costing(MemoryPrices(), failing), contained=lambda *_, **__: None)
    cargo = paid(rig)
    cargo.response = Unwritable()
    outcome, letter = rig.published(Complete())
    told = decode_outcome(outcome.record.value, outcome.record.headers)
    assert (told.status, told.usage) == ("failed", cargo.usage)
    assert told.cost == Cost(micro_usd=14.0, price_list="memory")
    assert (letter.topic, letter.record.value) == ("t.dead-letters", cargo.record.value)


def test_what_is_no_request_was_not_paid() -> None:
    cargo = paid(Rig())
    cargo.content = Undecodable("No.", "lead-2")
    assert shortened(cargo).usage is None


def test_where_even_those_cannot_be_made_both_exceptions_are_told_with_their_place() -> None:
    rig, told = Rig(), []
    cargo = rig.request()
    cargo.calls = Unwritable()  # type: ignore[assignment]  # a defect
    forms = ShortForms(
        "t", lambda step, *_, **place: told.append((step, place)), lambda *_: pytest.fail("asked"), UNPRICED
    )
    (letter,) = forms.of(SETTLEMENT, cargo, RuntimeError(), term=7, now=NOW)
    assert told == 2 * [("encode", {"topic": "t.requests.standard", "partition": 3, "offset": 42})]
    assert (headers(letter)["headrace-attempts"], headers(letter)["headrace-run"]) == ("0", "0")


def test_a_withdrawal_says_when_by_which_term_and_why() -> None:
    rig = Rig()
    cargo = rig.cargo(b"{}")
    cargo.content = Cancel(id="lead-1")
    assert withdrawn(cargo, Withdraw(2, 3, "Cancelled."), 7) == Failed(
        id="lead-1", run=2, reason="cancelled", message="Cancelled.", attempts=3, term=7
    )
