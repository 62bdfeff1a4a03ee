"""A cancel that names a tenant: it ends no request of another one, wherever that is."""

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.commands import Complete, Fail, Remember, Withdraw
from headrace.broker.core.identity.dedupe import Fate
from headrace.broker.core.identity.pending_cancels import CancelRecord
from tests.unit.core.shell import WALL_MS, Shell, leading
from tests.unit.core.specimens import candidate, identity, verdict

ACME, ZENITH = b"acme....", b"zenith.."
ID = identity("x").id_hash
CANCELLED = Fail("cancelled", "The request was cancelled before it was answered.")
WITHDRAWN = "The request was cancelled while it waited to be tried again."
WAITS = [Remember(CancelRecord(ID, WALL_MS, ZENITH))]


def parked(tenant_mark: bytes) -> Shell:
    """Acme's request waits for the retrier."""
    shell = leading(in_place_max_ms=100)
    shell.answer(shell.take(candidate("x", tenant_mark=tenant_mark)), verdict(Meaning.RATE_LIMITED, wait_ms=500))
    shell.commit()
    assert shell.fates("x") == [Fate.PARKED]
    return shell


@pytest.mark.parametrize("waiting", [True, False])
def test_another_tenants_request_goes_on_in_line_or_in_flight_and_the_cancel_waits(*, waiting: bool) -> None:
    shell = leading(inflight_max=1)
    if waiting:
        shell.take("a")
    number = shell.take(candidate("x", tenant_mark=ACME))
    cancel = shell.cancel(tenant_mark=ZENITH)
    shell.settle_all()
    assert shell.decisions(number) == [Complete()]
    assert shell.decisions(cancel) == WAITS
    assert shell.is_empty()


def test_a_tenant_cancels_its_own_request() -> None:
    shell = leading()
    number = shell.take(candidate("x", tenant_mark=ACME))
    shell.cancel(tenant_mark=ACME)
    shell.calls.clear()
    shell.settle_all()
    assert shell.decisions(number) == [CANCELLED]


def test_another_tenants_parked_request_comes_back_and_is_called() -> None:
    shell = parked(ACME)
    cancel = shell.cancel(tenant_mark=ZENITH)
    shell.settle_all()
    assert shell.decisions(cancel) == WAITS
    shell.wait(1_000)
    copy = shell.take(candidate("x", attempt=2, tenant_mark=ACME))
    shell.settle_all()
    assert shell.decisions(copy) == [Complete()]


@pytest.mark.parametrize(("known", "of_tenant"), [(ACME, True), (b"", False)])
def test_a_parked_request_of_that_tenant_or_of_an_unknown_one_is_withdrawn(known: bytes, *, of_tenant: bool) -> None:
    shell = parked(known)
    cancel = shell.cancel(tenant_mark=ACME)
    shell.settle_all()
    assert shell.decisions(cancel) == [Withdraw(0, 1, WITHDRAWN, of_tenant)]


def test_a_cancel_of_no_tenant_withdraws_a_parked_request_and_tells_no_tenant() -> None:
    shell = parked(ACME)
    cancel = shell.cancel()
    shell.settle_all()
    assert shell.decisions(cancel) == [Withdraw(0, 1, WITHDRAWN)]


def test_a_successor_knows_from_the_ledger_whose_request_is_parked() -> None:
    shell = parked(ACME)
    (told,) = [each for batch in shell.committed for each in batch.awaited]
    assert told.tenant_mark == ACME


@pytest.mark.parametrize("mine", [True, False])
def test_a_request_that_comes_after_its_cancel_is_answered_if_it_is_of_the_tenant_that_was_named(*, mine: bool) -> None:
    shell = leading()
    shell.cancel(tenant_mark=ZENITH)
    number = shell.take(candidate("x", tenant_mark=ZENITH if mine else ACME))
    shell.settle_all()
    assert shell.decisions(number) == ([CANCELLED] if mine else [Complete()])


def test_a_cancel_that_waited_for_a_commit_of_another_tenants_parking_withdraws_nothing() -> None:
    shell = leading(in_place_max_ms=100)
    number = shell.take(candidate("x", tenant_mark=ACME))
    shell.answer(number, verdict(Meaning.RATE_LIMITED, wait_ms=500))
    cancel = shell.cancel(tenant_mark=ZENITH)
    shell.settle_all()
    assert shell.fates("x") == [Fate.PARKED]
    assert shell.decisions(cancel) == WAITS
