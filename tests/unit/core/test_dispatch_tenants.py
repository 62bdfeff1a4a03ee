"""What a tenant's cap counts: tokens that a server has taken, not those that were expected."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.config import TenantRule
from headrace.broker.core.endpoints import Law
from headrace.broker.core.events import Answered, CallNotSent
from headrace.broker.core.pricing.law_identification import TokenUsage
from headrace.broker.core.pricing.laws import RequestSize, prices
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from headrace.broker.core.ticket import Candidate, TicketNumber
from tests.unit.core.shell import Shell
from tests.unit.core.specimens import candidate, verdict

CAP = 10_000
SIZE = RequestSize(400, 1, 1, 0, None, 100, function_tools=False, embedding_tokens=None)


def leading() -> Shell:
    return Shell(tokens=10_000_000, tenants={"acme": TenantRule(cap_tokens=CAP)}).lead()


def with_file(number: int) -> Candidate:
    """A request that names a file of its own, priced 4,119 before anything is known of files."""
    asked = prices("responses", SIZE, Law.RESPONSES, (Reference(ReferenceKind.FILE, number.to_bytes(8, "big")),))
    return replace(candidate(f"f{number}", tenant="acme"), prices=asked)


def counted(shell: Shell) -> int:
    use = shell.core.limits.tenants._uses.get("acme")
    return 0 if use is None else use.window.charged(shell.now_ms)


def answer(shell: Shell, number: TicketNumber, billed: int) -> None:
    shell.post(Answered(shell.calls.pop(number).call, verdict(), 1_000, TokenUsage(billed, 10)))


def test_a_tenant_goes_on_within_the_minute_with_what_estimates_took_too_much() -> None:
    shell = leading()
    for number in range(80):
        shell.take(with_file(number))
    assert len(shell.calls) == 2, "two estimates fill the cap"
    calls, begun_ms = 0, shell.now_ms
    while shell.calls and shell.now_ms < begun_ms + 50_000:
        for number in list(shell.calls):
            answer(shell, number, 200)
            calls += 1
        shell.wait(100)
    assert calls == 1 + (CAP - 4_119) // 219, "each next one had room for what was expected when it was taken"
    assert counted(shell) == 219 * calls


@pytest.mark.parametrize("billed", [200, 9_100])
def test_a_cap_counts_what_the_answer_has_told(billed: int) -> None:
    shell = leading()
    number = shell.take(with_file(0))
    assert counted(shell) == 4_119
    shell.wait(500)
    answer(shell, number, billed)
    assert counted(shell) == billed + 19
    shell.take(candidate("next", tenant="acme", charge=CAP - billed - 19 + 1))
    assert not shell.calls
    shell.take(candidate("small", tenant="acme", charge=CAP - billed - 19))


@pytest.mark.parametrize("meaning", [Meaning.RATE_LIMITED, Meaning.TOO_LARGE])
def test_a_refused_call_is_not_counted(meaning: Meaning) -> None:
    shell = leading()
    number = shell.take(candidate("x", tenant="acme", charge=4_000))
    assert counted(shell) == 4_000
    shell.answer(number, verdict(meaning, wait_ms=30_000))
    assert counted(shell) == 0


@pytest.mark.parametrize("meaning", [Meaning.OVERLOADED, Meaning.TIMEOUT])
def test_a_call_of_which_it_is_not_known_whether_it_was_charged_is_counted(meaning: Meaning) -> None:
    shell = leading()
    number = shell.take(candidate("x", tenant="acme", charge=4_000))
    shell.answer(number, verdict(meaning, wait_ms=30_000))
    assert counted(shell) == 4_000


def test_a_call_that_was_not_sent_is_not_counted() -> None:
    shell = leading()
    number = shell.take(candidate("x", tenant="acme", charge=4_000))
    shell.post(CallNotSent(shell.calls.pop(number).call))
    assert number in shell.calls, "it is called again"
    assert counted(shell) == 4_000


def test_a_call_of_a_tenant_without_a_cap_is_not_counted() -> None:
    shell = leading()
    number = shell.take(replace(with_file(0), tenant="other"))
    answer(shell, number, 200)
    assert shell.core.limits.tenants._uses == {}
