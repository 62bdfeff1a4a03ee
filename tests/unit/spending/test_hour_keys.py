from headrace.broker.spending.hour_keys import KEYS_MAX, MODELS_MAX, REMEMBERED_MAX, TENANTS_MAX, HourKeys, Largest
from headrace.schemas.spending import OTHERS, SpendingKey

HOUR = 498_853


def keys(*, largest: Largest | None = None) -> HourKeys:
    return HourKeys.begin(largest or Largest())


def test_a_combination_with_few_names_is_its_own_key() -> None:
    key = SpendingKey(HOUR, "bulk", "gpt-4", "acme", "welcome", "flex", ">272000")
    found = keys()
    assert found.place(key) == key
    assert found.place(key) == key


def test_an_hour_never_has_more_keys_than_its_bound_whatever_is_sent() -> None:
    """Hostile: every outcome of another model, tenant, template and tier, on 150 lanes."""
    found = keys()
    for number in range(3 * KEYS_MAX):
        name = f"n{number}"
        found.place(SpendingKey(HOUR, f"lane-{number % 150}", name, name, name, name, name))
    assert len(found.keys) <= KEYS_MAX
    assert len(found.placed) <= REMEMBERED_MAX
    assert {key.lane for key in found.keys} == {f"lane-{number}" for number in range(150)}, "a lane is always named"


def test_a_full_hour_counts_what_is_new_by_its_lane_alone() -> None:
    found = keys()
    for number in range(KEYS_MAX):
        lane, model, tier = f"lane-{number % 40}", f"m{number % 97}", f"t{number % 13}"
        found.place(SpendingKey(HOUR, lane, model, tier=tier, band=">272000"))
    last = found.place(SpendingKey(HOUR, "urgent", "m1", tier="t1", band=">272000"))
    assert last == SpendingKey(HOUR, "urgent", OTHERS, OTHERS, OTHERS, OTHERS, "")


def test_a_model_that_is_one_too_many_shares_a_sum() -> None:
    found = keys()
    placed = [found.place(SpendingKey(HOUR, "bulk", f"m{number}")) for number in range(MODELS_MAX + 1)]
    assert (placed[-2].model, placed[-1].model) == (f"m{MODELS_MAX - 1}", OTHERS)


def test_the_largest_tenants_before_keep_their_sums_when_new_ones_fill_the_hour() -> None:
    largest = Largest()
    for number in range(10):
        largest.add(SpendingKey(HOUR, tenant=f"large-{number}"), 1_000 - number)
    found = keys(largest=largest)
    flood = [found.place(SpendingKey(HOUR, "bulk", tenant=f"new-{number}")) for number in range(TENANTS_MAX + 5)]
    assert flood[-1].tenant == OTHERS
    assert found.place(SpendingKey(HOUR, "bulk", tenant="large-9")).tenant == "large-9"


def test_tenants_with_many_combinations_are_counted_together_before_the_largest_are() -> None:
    largest = Largest()
    largest.add(SpendingKey(HOUR, tenant="large"), 1)
    found = keys(largest=largest)
    for number in range(KEYS_MAX):
        found.place(SpendingKey(HOUR, "bulk", f"m{number % 97}", f"t{number % 101}"))
    assert found.place(SpendingKey(HOUR, "urgent", "m1", "t1")) == SpendingKey(HOUR, "urgent", "m1", OTHERS, OTHERS)
    assert found.place(SpendingKey(HOUR, "urgent", "m1", "large")).tenant == "large"
