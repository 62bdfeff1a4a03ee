import random
import string
from datetime import timedelta

import pytest

from headrace.broker.spending.advice.finding import AdviceFinding, SavingEffect, Waste
from tests.unit.spending.advice.made import NOON, advised, answered, asked, only, text

CONSTANT = text(8_000)


def found_in(contents: list[str], *, cached: int = 0, seconds_apart: int = 1, **given: str) -> list[AdviceFinding]:
    body = {name: value for name, value in given.items() if name != "model"}
    model = given.get("model", "gpt-4o")
    tokens = len(contents[0]) // 4
    called = [NOON + timedelta(seconds=n * seconds_apart) for n in range(len(contents))]
    outcomes = [
        answered(n, input=tokens, cached=cached, called_at=called[n], model=model) for n in range(len(contents))
    ]
    return advised(outcomes, [asked(n, content, model=model, **body) for n, content in enumerate(contents)])


def test_a_long_beginning_that_repeats_uncached_is_found_with_what_caching_would_save() -> None:
    found = only(found_in([f"{CONSTANT}\nlead {n:08}" for n in range(50)]), Waste.UNCACHED_PREFIX)
    assert found.effect is SavingEffect.CACHED
    assert found.tokens_a_day == pytest.approx(49 * (2_000 - 64), rel=0.02)
    assert found.micro_usd_a_day == pytest.approx(49 * (2_000 - 64) * 1.25, rel=0.02)
    assert "Set the same prompt_cache_key" in found.how


def test_a_key_that_is_set_already_is_not_advised_again() -> None:
    found = only(
        found_in([f"{CONSTANT}\nlead {n:08}" for n in range(50)], prompt_cache_key="leads"), Waste.UNCACHED_PREFIX
    )
    assert found.how.startswith("prompt_cache_key is set:")


def test_a_beginning_that_is_cached_is_left_alone() -> None:
    assert found_in([f"{CONSTANT}\nlead {n:08}" for n in range(50)], cached=1_920) == []


def test_a_beginning_below_1024_tokens_cannot_be_cached() -> None:
    assert found_in([f"{CONSTANT[:4_000]}\n{text(3_000, f'lead {n:08}')}" for n in range(50)]) == []


def test_calls_that_are_an_hour_apart_find_no_cache() -> None:
    assert found_in([f"{CONSTANT}\nlead {n:08}" for n in range(50)], seconds_apart=3_600) == []


@pytest.mark.parametrize("model", ["gpt-4", "gpt-3.5-turbo", "gpt-4-turbo"])
def test_models_without_a_cache_are_not_advised_to_it(model: str) -> None:
    found = found_in([f"{CONSTANT}\nlead {n:08}" for n in range(50)], model=model)
    assert not {each.kind for each in found} & {Waste.UNCACHED_PREFIX, Waste.BROKEN_PREFIX}


@pytest.mark.parametrize(
    ("piece", "name"),
    [
        ("It is 2026-11-28T12:{n:02}:07Z.", "a date or time"),
        ("It is {n:02}:07 on Friday.", "a date or time"),
        ("Ticket 8f3a{n:02}c1d9.", "an id"),
        ("Account number {n:02}.", "a number"),
        ("Dear {letter}da,", "a name"),
    ],
)
def test_what_differs_at_the_front_and_defeats_the_cache_is_named_by_its_kind(piece: str, name: str) -> None:
    letters = string.ascii_uppercase
    contents = [f"{piece.format(n=n, letter=letters[n])}\n{CONSTANT}\nfor lead {n:08}" for n in range(26)]
    assert only(found_in(contents), Waste.BROKEN_PREFIX).evidence["differs_by"] == name


def test_long_text_before_what_never_varies_is_found_too() -> None:
    contents = [text(1_500, f"{n:08} letter ") + f"\n{CONSTANT}\n" for n in range(50)]
    found = only(found_in(contents), Waste.BROKEN_PREFIX)
    assert found.evidence["differs_by"] == "text"
    assert found.tokens_a_day == pytest.approx(49 * (2_000 - 64), rel=0.05)


def test_each_tenant_may_have_a_beginning_of_its_own() -> None:
    contents = [f"{text(8_000, f'tenant {n % 3} ')}\nlead {n:08}" for n in range(60)]
    found = only(found_in(contents), Waste.UNCACHED_PREFIX)
    assert found.tokens_a_day == pytest.approx(59 * (2_000 - 64), rel=0.03)


def test_beginnings_of_twenty_tenants_are_all_counted() -> None:
    """Of 96 prompts that are looked at, some tenants have three or four."""
    rng = random.Random(3)
    fronts = [text(6_000, f"tenant {n} ") for n in range(20)]
    contents = [rng.choice(fronts) + f" lead {n}" for n in range(2_000)]
    outcomes = [answered(n, input=len(content) // 4) for n, content in enumerate(contents)]
    found = only(advised(outcomes, [asked(n, content) for n, content in enumerate(contents)]), Waste.UNCACHED_PREFIX)
    assert found.tokens_a_day == pytest.approx(2_000 * 1_500, rel=0.1)


def test_the_cache_of_another_maker_is_known_by_what_it_serves() -> None:
    contents = [text(8_000) + f" lead {n}" for n in range(100)]
    requests = [asked(n, content, model="llama-3.3-70b") for n, content in enumerate(contents)]
    given = {"model": "llama-3.3-70b", "input": 2_000, "output": 2_000}
    assert advised([answered(n, **given) for n in range(100)], requests) == []
    served = [answered(n, **given, cached=2_000 if n == 0 else 0) for n in range(100)]
    assert Waste.UNCACHED_PREFIX in {each.kind for each in advised(served, requests)}


def test_tenants_with_a_prompt_of_their_own_have_nothing_to_put_in_another_order() -> None:
    """They share no text: a rare beginning is not used more often by moving it."""
    rng = random.Random(4)
    fronts = ["".join(f"{rng.getrandbits(64):016x} " for _ in range(400)) for _ in range(12)]
    chosen = [rng.randrange(12) for _ in range(1_000)]
    called = [NOON + timedelta(seconds=60 * n) for n in range(1_000)]
    last: dict[int, timedelta] = {}
    cached = []
    for n, tenant in enumerate(chosen):
        at = timedelta(seconds=60 * n)
        cached.append(1_650 if at - last.get(tenant, -timedelta(days=1)) <= timedelta(seconds=420) else 0)
        last[tenant] = at
    outcomes = [answered(n, input=1_710, cached=cached[n], called_at=called[n]) for n in range(1_000)]
    requests = [asked(n, f"{fronts[tenant]} lead {n}") for n, tenant in enumerate(chosen)]
    assert advised(outcomes, requests) == []


def test_what_a_rare_beginning_could_save_is_what_a_cache_of_some_minutes_serves() -> None:
    rng = random.Random(6)
    fronts = ["".join(f"{rng.getrandbits(64):016x} " for _ in range(400)) for _ in range(6)]
    seconds, last, missing, at = [], {}, 0, 0.0  # type: ignore[var-annotated]
    chosen = [rng.randrange(6) for _ in range(1_500)]
    for tenant in chosen:
        at += rng.expovariate(1 / 60)
        missing += 1_700 * (at - last.get(tenant, -1e9) <= 420)
        last[tenant] = at
        seconds.append(at)
    outcomes = [answered(n, input=1_710, called_at=NOON + timedelta(seconds=seconds[n])) for n in range(1_500)]
    requests = [asked(n, f"{fronts[tenant]} lead {n}") for n, tenant in enumerate(chosen)]
    found = only(advised(outcomes, requests), Waste.UNCACHED_PREFIX)
    days = max(1.0, (seconds[-1] - seconds[0]) / 86_400)
    assert found.tokens_a_day == pytest.approx(missing / days, rel=0.1)
