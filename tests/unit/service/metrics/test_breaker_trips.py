"""The causes of open breakers are kept, and more open breakers than there is room for hide none that opened later."""

from headrace.broker.clock import WallClock
from headrace.broker.core.answers.verdict import Meaning
from headrace.broker.core.commands import BreakerClosed, BreakerOpened
from headrace.broker.core.ticket import ModelTier, TicketNumber
from headrace.broker.service.metrics.breaker_log import KEPT_MAX, Trips
from tests.unit.core.specimens import verdict

FLEX = ModelTier("gpt", "flex")


def opened(trips: Trips, breaker: str | None, tier: ModelTier | None = None, *, of: Meaning = Meaning.QUOTA) -> None:
    trips.record_opening(BreakerOpened(breaker, "gpt", TicketNumber(1), verdict(of), 1_000, tier), None)


def trips() -> Trips:
    return Trips(WallClock(lambda: 0.0))


def test_the_cause_is_kept_while_the_breaker_is_open_and_the_latest_one_counts() -> None:
    made = trips()
    opened(made, "gpt", of=Meaning.OVERLOADED)
    opened(made, "gpt")
    opened(made, "gpt", FLEX, of=Meaning.TIER_UNAVAILABLE)
    cause, of_tier = made.of("gpt"), made.of("gpt", FLEX)
    assert cause is not None
    assert of_tier is not None
    assert (cause["meaning"], of_tier["meaning"]) == ("quota", "tier_unavailable")
    made.record_closing(BreakerClosed("gpt", 5))
    assert made.of("gpt") is None
    assert made.of("gpt", FLEX) is not None


def test_of_too_many_the_first_are_forgotten_but_never_that_of_the_account() -> None:
    made = trips()
    opened(made, None)
    for number in range(KEPT_MAX):
        opened(made, f"m-{number}")
    assert made.of(None) is not None
    assert made.of("m-0") is None
    assert made.of("m-1") is not None
    assert made.of(f"m-{KEPT_MAX - 1}") is not None


def test_the_account_s_cause_is_kept_however_many_others_are_open() -> None:
    made = trips()
    for number in range(KEPT_MAX + 5):
        opened(made, "gpt", ModelTier("gpt", f"t{number}"), of=Meaning.TIER_UNAVAILABLE)
    opened(made, None)
    assert made.of(None) is not None
