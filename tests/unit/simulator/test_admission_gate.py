from headrace.broker.simulator.accounting import Books
from headrace.broker.simulator.admission import SECOND_US, Metric
from headrace.broker.simulator.admission_gate import AdmissionGate
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import behaviour
from headrace.broker.simulator.behaviours.enforcement import ChargeLaw
from headrace.broker.simulator.limiter import Limiter
from headrace.broker.simulator.pricing import ChatLaw, Endpoint, Size
from headrace.broker.simulator.reply import Reply
from headrace.broker.simulator.response_headers import Speech
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.virtual import Ask

SIZE = Size.chat(400, answer_max=1_000)  # 100 tokens of text
OPENED_US = 5 * SECOND_US


class Gate:
    """A turnstile with its books, opened at second 5."""

    def __init__(self, *behaviours: Behaviour, endpoint: Endpoint = Endpoint.CHAT, size: Size = SIZE) -> None:
        settings = UpstreamSettings(behaviours=behaviours)
        self.limiter = Limiter(settings.limits(), settings.scene())
        self.gate = AdmissionGate(settings, self.limiter, Speech(behaviours))
        self.books = Books(settings.limits(), OPENED_US)
        self.arriving = Ask("a", "gpt-4o-2024-08-06", size, endpoint, count=self.books.identify("a"))

    def charged_at(self, second: int) -> int:
        before = self.books.charged.get("gpt-4o", 0)
        assert not isinstance(self.gate.enter(self.arriving, self.books, second * SECOND_US), Reply)
        return self.books.charged["gpt-4o"] - before


def test_each_law_charges_its_own() -> None:
    charges = {law: Gate(ChargeLaw(law)).charged_at(5) for law in ChatLaw}
    assert charges == {
        ChatLaw.CHAT_2025: 102,
        ChatLaw.CHAT_LEGACY: 1_101,
        ChatLaw.DOCUMENTED: 1_000,
        ChatLaw.USAGE: 107,
    }


def test_a_law_changes_when_it_is_said_to_counted_from_the_opening() -> None:
    gate = Gate(ChargeLaw(ChatLaw.CHAT_LEGACY, 30.0), ChargeLaw(ChatLaw.DOCUMENTED, 10.0))
    assert [gate.charged_at(second) for second in (5, 14, 15, 34, 35)] == [102, 102, 1_000, 1_000, 1_101]


def test_under_usage_the_output_is_debited_when_the_call_ends_and_headers_show_it_then() -> None:
    gate = Gate(behaviour("law-usage"))
    gate.charged_at(5)
    assert gate.gate.settle(gate.arriving, 600, gate.books, 5 * SECOND_US, 6 * SECOND_US)
    before = gate.gate.headers_at(gate.arriving.model, 5 * SECOND_US)
    after = gate.gate.headers_at(gate.arriving.model, 6 * SECOND_US)
    assert before["x-ratelimit-remaining-tokens"] == "199893"
    assert after["x-ratelimit-remaining-tokens"] == "199400"  # 107 have refilled, 600 are gone
    assert gate.books.charged == {"gpt-4o": 707}
    assert gate.limiter.tallies()["gpt-4o"][Metric.TOKENS].charged == 707


def test_responses_pay_in_advance_for_a_little_output() -> None:
    gate = Gate(behaviour("law-usage"), endpoint=Endpoint.RESPONSES, size=Size(100))
    assert gate.charged_at(5) == 119
    assert not gate.gate.settle(gate.arriving, 19, gate.books, OPENED_US, OPENED_US)
    assert gate.gate.settle(gate.arriving, 20, gate.books, OPENED_US, OPENED_US)
    assert gate.books.charged == {"gpt-4o": 120}


def test_other_laws_settle_nothing() -> None:
    gate = Gate(behaviour("law-chat-legacy"))
    gate.charged_at(5)
    assert not gate.gate.settle(gate.arriving, 10_000, gate.books, 5 * SECOND_US, 6 * SECOND_US)


def test_who_is_turned_away_hears_of_the_limit_and_is_not_charged() -> None:
    gate = Gate(behaviour("request-bound", requests_per_minute=1))
    gate.charged_at(5)
    reply = gate.gate.enter(gate.arriving, gate.books, 5 * SECOND_US)
    assert isinstance(reply, Reply)
    assert (reply.status, reply.headers["retry-after"]) == (429, "60")
    assert gate.books.admitted == 1
