from headrace.broker.core.pricing.markup import SAMPLES_MAX, TIMES_MAX, Markup
from headrace.broker.core.units import PPM


def test_without_evidence_a_charge_is_what_our_law_says() -> None:
    assert Markup().applied(400) == 400


def test_a_refusal_that_names_more_marks_up_every_charge() -> None:
    markup = Markup()
    markup.record(400, 680)
    assert markup.ppm == 1_700_000
    assert [markup.applied(charge) for charge in (1, 100, 401)] == [2, 170, 682]


def test_several_refusals_weigh_by_their_size() -> None:
    markup = Markup()
    markup.record(10, 30)
    markup.record(990, 1_470)
    assert markup.ppm == 1_500_000


def test_a_server_that_charges_less_is_still_paid_what_our_law_says() -> None:
    markup = Markup()
    markup.record(400, 200)
    assert markup.ppm == PPM


def test_old_refusals_are_forgotten() -> None:
    markup = Markup(1_700_000)
    assert markup.applied(100) == 170
    markup.record(100, 300)
    for _ in range(SAMPLES_MAX):
        markup.record(100, 100)
    assert markup.ppm == PPM


def test_a_charge_that_a_law_explains_ends_it() -> None:
    markup = Markup()
    markup.learn(400, 680, explained=False)
    assert markup.ppm == 1_700_000
    markup.learn(400, 700, explained=True)
    assert markup.ppm == PPM
    markup.learn(400, 440, explained=False)
    assert markup.ppm == 1_100_000


def test_one_absurd_figure_prices_no_call_beyond_all_limits() -> None:
    markup = Markup()
    markup.learn(100, 10**15, explained=False)
    assert markup.applied(100) == 100 * TIMES_MAX


def test_a_call_that_we_priced_at_nothing_shows_no_ratio() -> None:
    markup = Markup()
    markup.learn(0, 680, explained=False)
    assert markup.ppm == PPM
    markup.learn(400, 680, explained=False)
    assert markup.ppm == 1_700_000


def test_a_ratio_below_1_that_a_predecessor_left_is_not_believed() -> None:
    for left in (0, PPM // 2):
        assert Markup(left).applied(100) == 100


def test_no_more_is_believed_than_levels_have_shown() -> None:
    markup = Markup()
    markup.bound(900_000)
    assert (markup.ppm, markup.applied(100)) == (900_000, 90)
    markup.learn(400, 680, explained=False)
    assert markup.ppm == 900_000
    markup.bound(900_000)
    assert markup.ppm == 900_000
    markup.bound(1_800_000)
    assert markup.ppm == 1_700_000
    markup.bound(950_000)
    markup.learn(400, 400, explained=True)
    assert markup.ppm == 950_000
    markup.bound(None)
    assert markup.ppm == PPM


def test_a_bound_above_1_that_levels_have_shown_raises_no_charge() -> None:
    markup = Markup()
    markup.bound(1_200_000)
    assert markup.ppm == PPM


def test_levels_bound_what_a_predecessor_has_left_until_a_law_explains_a_charge() -> None:
    """Before, the inherited ratio was no one's statement: nothing bounded it, and calls paid three times their law."""
    markup = Markup(3 * PPM)
    assert markup.stated_ppm == 3 * PPM
    markup.bound(1_300_000)
    assert markup.ppm == 1_300_000
    markup.bound(None)
    assert markup.ppm == 3 * PPM
    markup.record(100, 200)
    assert markup.ppm == markup.stated_ppm == 2 * PPM
    markup = Markup(3 * PPM)
    markup.learn(100, 100, explained=True)
    assert markup.ppm == markup.stated_ppm == PPM
