"""Limits of input tokens and of images: learned from headers and refusals, and paid by what calls carry."""

from dataclasses import replace

import pytest

from headrace.broker.core.answers.rate_limit_headers import MINUTE_MS
from headrace.broker.core.answers.refill_detection import Refill
from headrace.broker.core.answers.verdict import Answer, Verdict, judge
from headrace.broker.core.budget.budget import Budget, LimitBeliefs
from headrace.broker.core.budget.refusals import is_explained
from headrace.broker.core.budget.side_limit import UNSHOWN_MAX
from headrace.broker.core.endpoints import Law
from headrace.broker.core.pricing.laws import Prices
from headrace.broker.core.units import ROUNDING_TOKENS
from tests.unit.core.budgets import KEY, SETTINGS, UNKNOWN, answer, full, refusal
from tests.unit.core.specimens import verdict

DEAR = 100  # tokens that a call of the tests is priced at
PER_MINUTE = 6_000  # a tenth of a token a millisecond


def carries(input_tokens: int, images: int = 0) -> Prices:
    return Prices("chat.completions", (Law.DOCUMENTED,), (DEAR,), input_tokens=input_tokens, images=images)


def shows(kind: str, limit: int, remaining: int, reset: str = "") -> Verdict:
    headers = {
        "x-ratelimit-limit-tokens": "60000",
        "x-ratelimit-remaining-tokens": "59900",
        "x-ratelimit-reset-tokens": "100ms",
        f"x-ratelimit-limit-{kind}": str(limit),
        f"x-ratelimit-remaining-{kind}": str(remaining),
        f"x-ratelimit-reset-{kind}": reset,
    }
    return judge(Answer(200, headers, None, None, None, ""))


def names(kind: str, *, used: int, requested: int, limit: int = PER_MINUTE, per: str = "min") -> Verdict:
    text = (
        f"Rate limit reached for m in organization o on {kind} per {per}: Limit {limit}, Used {used}, "
        f"Requested {requested}. Please try again in 1s."
    )
    return judge(Answer(429, {}, "rate_limit_exceeded", kind, None, text))


class Limit:
    """A budget of ample tokens, and its calls, which are answered 500 ms after they were sent."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = full() if budget is None else budget
        self.calls = 0

    def at(self, prices: Prices, now_ms: int, reserved_ppm: int = 0) -> int | None:
        return self.budget.payable_at(DEAR, now_ms, prices=prices, reserved_ppm=reserved_ppm)

    def call(self, prices: Prices, now_ms: int, heard: Verdict) -> None:
        self.calls += 1
        self.budget.reserve(self.calls, DEAR, now_ms, prices=prices)
        self.budget.record_answer(self.calls, now_ms + 500, heard)

    def left(self, now_ms: int) -> int:
        (level,) = self.budget.sides.levels(now_ms)
        return level.low


@pytest.mark.parametrize("kind", ["input-tokens", "input-images"])
def test_a_limit_that_headers_show_is_paid_by_what_calls_carry(kind: str) -> None:
    limit, prices = Limit(), carries(1_000, images=1_000)
    limit.call(prices, 0, shows(kind, PER_MINUTE, 1_500, "45s"))
    assert limit.at(carries(0, images=0), 500) == 500, "it carries nothing of that"
    at_ms = limit.at(prices, 500)
    assert at_ms == 500
    limit.call(prices, 500, shows(kind, PER_MINUTE, 500, "55s"))
    at_ms = limit.at(prices, 1_000)
    assert at_ms is not None
    assert 5_000 <= at_ms <= 6_500, "500 are missing, and ten a second flow in"
    assert [(level.counts, level.capacity, level.period_ms) for level in limit.budget.sides.levels(1_000)] == [
        (kind, PER_MINUTE, MINUTE_MS)
    ]


def test_a_limit_that_a_refusal_names_holds_calls_back_until_they_are_covered() -> None:
    limit = Limit()
    for number in range(5):
        limit.call(carries(1_000), 10 * number, answer((60_000, 59_000, "1s")))
    assert not limit.budget.sides
    limit.call(carries(2_000), 100, names("input-tokens", used=5_000, requested=2_000))
    assert limit.left(600) == pytest.approx(1_000 + 50, abs=60), "the refused call was not counted"
    at_ms = limit.at(carries(2_000), 600)
    assert at_ms is not None
    assert 9_000 <= at_ms <= 11_000
    assert limit.at(carries(500), 2_000) == 2_000


def test_calls_of_before_count_in_a_limit_that_is_learned_later() -> None:
    """Otherwise all that was on its way would be spent a second time."""
    limit = Limit()
    for number in range(5):
        limit.calls += 1
        limit.budget.reserve(limit.calls, DEAR, number, prices=carries(1_000))
    limit.budget.record_answer(1, 500, shows("input-tokens", PER_MINUTE, 5_000, "10s"))
    assert limit.left(500) <= 1_000 + 100


def test_a_reserve_is_left_in_it() -> None:
    limit = Limit()
    limit.call(carries(1_000), 0, shows("input-tokens", PER_MINUTE, 3_000, "30s"))
    assert limit.at(carries(1_000), 500, reserved_ppm=100_000) == 500
    assert limit.at(carries(1_000), 500, reserved_ppm=500_000) != 500


def test_a_server_that_leaves_out_what_is_cached_is_believed() -> None:
    limit = Limit()
    for number in range(4):
        limit.call(carries(1_000), 10_000 * number, names("input-tokens", used=5_900, requested=480))
    assert limit.budget.sides.amount("input-tokens", carries(1_000)) == 480
    limit.call(carries(1_000), 100_000, answer((60_000, 59_000, "1s")))
    assert limit.left(100_500) == pytest.approx(PER_MINUTE - 480 + 50, abs=2 * ROUNDING_TOKENS)


def test_one_absurd_charge_prices_no_call_beyond_its_limit() -> None:
    limit = Limit()
    limit.call(carries(1_000), 0, names("input-tokens", used=5_900, requested=10**12))
    assert limit.budget.sides.amount("input-tokens", carries(1_000)) <= 4_000


def test_an_operators_tokens_are_those_that_a_refusal_names_as_input() -> None:
    """Before: 90,000 tokens a minute were kept beside 15,000 input tokens in 10 s, and half of these left unused."""
    limit = Limit(full(replace(SETTINGS, tokens=90_000), replace(KEY, capacity=90_000, low=90_000, high=90_000)))
    limit.call(carries(300), 0, names("input-tokens", limit=15_000, used=14_900, requested=300, per="10 sec"))
    assert limit.budget.levels(500) == ()
    (level,) = limit.budget.sides.levels(500)
    assert (level.capacity, level.period_ms) == (15_000, 10_000)


def test_tokens_that_headers_show_or_of_another_rate_stay() -> None:
    shown = Limit()
    shown.call(carries(300), 0, answer((60_000, 59_000, "1s")))
    shown.call(carries(300), 1_000, names("input-tokens", limit=10_000, used=9_900, requested=300, per="10 sec"))
    other = Limit()
    other.call(carries(300), 0, names("input-tokens", limit=30_000, used=29_900, requested=300))
    assert [len(limit.budget.levels(2_000)) for limit in (shown, other)] == [1, 1]


def test_a_refusal_that_names_such_a_limit_is_explained_by_it() -> None:
    limit = Limit()
    limit.call(carries(300), 0, answer((60_000, 59_000, "1s")))
    limit.budget.reserve(9, DEAR, 1_000, prices=carries(300))
    call = limit.budget._calls[9]
    assert is_explained(call, names("input-tokens", used=5_900, requested=300))
    assert not is_explained(call, names("input-tokens", used=5_000, requested=300))


def test_without_any_limit_but_of_input_the_mirrors_are_followed() -> None:
    limit = Limit(Budget(UNKNOWN, 0, None))
    limit.call(carries(300), 0, names("input-tokens", used=5_900, requested=300))
    assert not limit.budget.guide.measures


def test_what_a_days_limit_of_input_delays_is_unavailable_until_then() -> None:
    limit = Limit()
    limit.call(carries(300), 0, names("input-tokens", limit=100_000, used=99_900, requested=300, per="day"))
    until_ms = limit.budget.unavailable_until(DEAR, 500, prices=carries(300))
    assert until_ms > 2 * MINUTE_MS
    assert limit.budget.unavailable_until(DEAR, 1_600, prices=carries(0)) == 1_600


def test_estimates_take_the_input_of_calls_like_the_last_ones() -> None:
    limit = Limit()
    for number in range(5):
        limit.call(carries(1_000), 10 * number, answer((60_000, 59_000, "1s")))
    limit.call(carries(1_000), 100, names("input-tokens", used=5_900, requested=1_000))
    assert limit.budget.flow_ms(10 * DEAR) == 10 * 1_000 * MINUTE_MS // PER_MINUTE
    assert limit.budget.sides.flows_in_ms(DEAR, 0, 600) == pytest.approx(9_000, abs=1_100)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("on input-tokens per min: Limit 100, Used 99, Requested 5.", "input-tokens"),
        ("on images per min: Limit 5, Used 5, Requested 1.", "input-images"),
        ("on input-tokens per 10 sec: Limit 100, Used 99, Requested 5.", "input-tokens"),
        ("on tokens per min: Limit 100, Used 99, Requested 5.", None),
        ("on input-tokens per min.", None),
    ],
)
def test_a_verdict_says_which_of_them_refused(text: str, kind: str | None) -> None:
    heard = judge(Answer(429, {}, "rate_limit_exceeded", None, None, f"Rate limit reached for m {text}"))
    assert (None if heard.side_limit is None else heard.side_limit.metric) == kind


def test_nothing_is_learned_of_a_limit_that_only_people_read() -> None:
    limit = Limit(full(LimitBeliefs("m", tokens=60_000, requests=None)))
    limit.call(carries(300), 0, shows("output-tokens", 100, 0))
    limit.call(carries(300), 2_000, refusal(used=60_000, requested=100))
    assert not limit.budget.sides


def test_a_kind_that_answers_have_shown_and_show_no_more_is_dropped() -> None:
    """Before: one answer of another server behind a gateway slowed every call to its rate for good."""
    limit, other = Limit(), answer((60_000, 59_000, "1s"))
    limit.call(carries(1_000), 0, shows("input-images", PER_MINUTE, PER_MINUTE))
    for number in range(2 * UNSHOWN_MAX):
        limit.call(carries(1_000), 1_000 * (number + 1), other)
    assert limit.budget.sides, "calls without an image need not show it"
    limit.call(carries(1_000), 100_000, shows("input-tokens", PER_MINUTE, PER_MINUTE))
    for number in range(UNSHOWN_MAX):
        limit.call(carries(1_000), 200_000 + 20_000 * number, other)
    assert [level.counts for level in limit.budget.sides.levels(900_000)] == ["input-images", "input-tokens"]
    made = limit.budget.sides.made
    limit.call(carries(1_000), 900_000, other)
    assert [level.counts for level in limit.budget.sides.levels(901_000)] == ["input-images"]
    assert limit.budget.sides.made > made


def test_a_kind_that_only_refusals_name_stays_though_no_header_shows_it() -> None:
    limit = Limit()
    limit.call(carries(2_000), 0, names("input-tokens", used=5_000, requested=2_000))
    for number in range(2 * UNSHOWN_MAX):
        limit.call(carries(1_000), 20_000 * (number + 1), answer((60_000, 59_000, "1s")))
    assert limit.budget.sides


def test_a_refusal_that_does_not_say_what_is_used_leaves_nothing() -> None:
    """Before: the bucket that it names began full, so that each call of a wave was refused for itself."""
    limit = Limit()
    text = "quotaId: GenerateContentInputTokensPerModelPerMinute-FreeTier; quotaValue: 6000; model: g"
    limit.call(carries(1_000), 0, judge(Answer(429, {}, "RESOURCE_EXHAUSTED", None, None, text)))
    assert limit.left(500) <= ROUNDING_TOKENS
    assert limit.left(10_500) == pytest.approx(1_000, abs=ROUNDING_TOKENS)


def test_a_refusal_for_its_images_delays_no_call_without_them() -> None:
    """Before: the wait that it asked for held back every call of the account."""
    limit = Limit()
    limit.call(carries(1_000, images=2), 0, names("input-images", used=5, requested=2, limit=6))
    at_ms = limit.at(carries(1_000, images=2), 600)
    assert at_ms is not None
    assert at_ms >= 1_000
    assert limit.at(carries(1_000), 600) == 600
    assert limit.budget.unavailable_until(DEAR, 600, prices=carries(1_000, images=2)) == 600, "it is soon over"
    limit.call(carries(2_000), 600, names("input-tokens", used=PER_MINUTE, requested=2_000))
    assert limit.at(carries(1), 1_200) == 2_100, "every call carries input"


def test_images_are_whole_when_it_is_told_how_their_bucket_refills() -> None:
    """Before: parts of an image seemed to be shown, so a bucket passed for windows of one second to a minute."""
    limit, left, at_ms = Limit(), 2_000.0, 0
    for number in range(60):
        at_ms = 700 * number
        left = min(2_000.0, left + (700 / 30 if number else 0)) - 25
        limit.call(
            carries(100, images=25), at_ms, shows("input-images", 2_000, int(left), f"{int((2_000 - left) * 30)}ms")
        )
    (level,) = limit.budget.sides.levels(at_ms + 500)
    assert (level.refill, level.period_ms, level.capacity) == (Refill.BUCKET, MINUTE_MS, 2_000)


def test_a_refusal_that_names_it_shows_that_it_is_still_there() -> None:
    limit = Limit()
    limit.call(carries(1_000), 0, shows("input-tokens", PER_MINUTE, PER_MINUTE))
    made = limit.budget.sides.made
    for number in range(2 * UNSHOWN_MAX):
        refused = names("input-tokens", used=5_500, requested=1_000)
        bucket = answer((60_000, 59_000, "1s")).readings
        limit.call(carries(1_000), 20_000 * (number + 1), replace(refused, readings=bucket))
    assert limit.budget.sides.made == made


def test_tokens_that_a_refusal_names_after_input_stay() -> None:
    """Before: the next answer dropped them again, so both limits were paid by turns, and each turn was refused."""
    limit = Limit(Budget(LimitBeliefs("m", PER_MINUTE, None), 0, None))
    limit.call(carries(300), 0, names("input-tokens", used=5_900, requested=300))
    assert not limit.budget.levels(500)
    limit.call(carries(300), 30_000, names("tokens", used=5_950, requested=100))
    limit.call(carries(300), 60_000, verdict())
    assert [level.capacity for level in limit.budget.levels(60_500)] == [PER_MINUTE]


@pytest.mark.parametrize(("tokens", "cap", "stated"), [(PER_MINUTE, 2_000, PER_MINUTE), (None, 2_000, 2_000)])
def test_a_limit_of_input_alone_is_handed_on_with_what_the_operators_cap_has_counted(
    tokens: int | None, cap: int, stated: int
) -> None:
    """Before: the ledger's lines had no level of it, so a successor's cap began at nothing."""
    limit = Limit(Budget(LimitBeliefs("m", tokens, None, cap_tokens=cap), 0, None))
    limit.call(carries(300), 0, names("input-tokens", used=5_900, requested=300))
    limit.call(carries(300), 30_000, verdict())
    handed = limit.budget.checkpoint(30_500)
    assert [(level.capacity, level.low) for level in handed.levels] == [(stated, stated)]
    assert (handed.charged_last_minute, len(handed.sides)) == (DEAR, 1)
    successor = Budget(LimitBeliefs("m", tokens, None, cap_tokens=2 * cap), 40_000, handed.aged(40_000))
    assert successor.charged_last_minute(40_000) == DEAR
    assert [level.capacity for level in successor.levels(40_000)] == ([] if tokens is None else [tokens])


def test_an_operators_cap_is_no_bucket_of_a_server_that_states_nothing() -> None:
    """Before: a successor took it for one, and called at the cap's rate until it was doubted: 92 refusals, then 11."""
    limit = Limit(Budget(LimitBeliefs("m", None, None, cap_tokens=5_000), 0, None))
    limit.call(carries(300), 0, verdict())
    assert not limit.budget.checkpoint(500).levels


def test_answers_that_show_no_bucket_at_all_do_not_drop_a_kind() -> None:
    limit = Limit()
    limit.call(carries(1_000), 0, shows("input-tokens", PER_MINUTE, PER_MINUTE))
    for number in range(2 * UNSHOWN_MAX):
        limit.call(carries(1_000), 20_000 * (number + 1), answer())
    assert limit.budget.sides


def test_answers_that_show_only_another_kind_drop_one_that_they_show_no_more() -> None:
    limit = Limit()
    limit.call(carries(1_000), 0, shows("input-tokens", PER_MINUTE, PER_MINUTE))
    other = replace(shows("input-images", PER_MINUTE, PER_MINUTE), readings=())
    for number in range(UNSHOWN_MAX + 1):
        limit.call(carries(1_000), 20_000 * (number + 1), other)
    assert [level.counts for level in limit.budget.sides.levels(900_000)] == ["input-images"]


def test_a_shorter_rest_ends_no_longer_one() -> None:
    limit, heard = Limit(), names("input-images", used=5, requested=2, limit=6)
    limit.call(carries(0, images=2), 0, heard)
    sides = limit.budget.sides
    for until_ms in (90_000, 2_000):
        assert sides.rest(heard.side_limit, until_ms)
    assert sides.rests_ms(carries(0, images=1), 1_000) == 89_000
    assert sides.rests_ms(carries(1_000), 1_000) == 0


def test_images_of_the_same_rate_are_no_tokens_that_an_operator_meant() -> None:
    limit = Limit()
    limit.call(carries(300, images=1), 0, names("input-images", limit=60, used=60, requested=1))
    assert len(limit.budget.levels(500)) == 1


def test_what_calls_may_be_off_by_does_not_add_up_to_an_image() -> None:
    """Before: three of a thousand images, and the last one of a burst of some hundred waited for another to flow in."""
    limit = Limit()
    limit.call(carries(0, images=1), 0, shows("input-images", 400, 399, "150ms"))
    for number in range(1_000, 1_399):
        assert limit.at(carries(0, images=1), 500) == 500
        limit.budget.reserve(number, DEAR, 500, prices=carries(0, images=1))


def test_what_a_mean_call_takes_is_counted_once_for_many_questions() -> None:
    limit = Limit()
    for number in range(4):
        limit.call(
            carries(1_000),
            10_000 * number,
            shows("input-tokens", 60_000, 59_000 - 1_000 * number, f"{60 - 10 * number}s"),
        )
    sides = limit.budget.sides
    assert [mean for _ in range(2) for _, _, mean in sides.windows(carries(500), MINUTE_MS)] == [1_000, 1_000]


def test_a_call_of_which_nothing_is_known_does_not_wait_for_such_a_limit() -> None:
    limit = Limit()
    limit.call(carries(1_000), 0, shows("input-tokens", PER_MINUTE, 0, "60s"))
    assert limit.budget.sides.payable_at(carries(1_000), 0, 500) > 500
    assert limit.budget.sides.payable_at(None, 0, 500) == 500
