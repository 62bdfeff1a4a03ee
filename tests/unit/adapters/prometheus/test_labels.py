"""Which names get labels of their own, and what is shown of those that share one."""

import pytest
from prometheus_client import CollectorRegistry, Gauge

from headrace.broker.adapters.prometheus.labels import NAME_MAX, OTHER, BoundedNames, FoldedGauge


def labels(names: BoundedNames, *given: str) -> list[str]:
    return [names.label(name) for name in given]


def test_the_first_names_have_labels_where_nothing_confirms_any() -> None:
    assert labels(BoundedNames(2), "a", "b", "c", "a") == ["a", "b", OTHER, "a"]


def test_some_labels_are_for_names_that_an_answer_confirms() -> None:
    names = BoundedNames(3, unconfirmed_max=1)
    assert labels(names, "a", "b", "c") == ["a", OTHER, OTHER]
    names.confirm("b")
    names.confirm("c")
    names.confirm("d")
    names.confirm("b")
    assert labels(names, "a", "b", "c", "d") == ["a", "b", "c", OTHER]


def test_a_name_that_is_confirmed_leaves_its_place_to_the_next_one() -> None:
    names = BoundedNames(2, unconfirmed_max=1)
    assert labels(names, "a", "b") == ["a", OTHER]
    names.confirm("a")
    assert labels(names, "a", "b", "c") == ["a", "b", OTHER]


def test_known_names_have_labels_beside_the_bound() -> None:
    names = BoundedNames(1, unconfirmed_max=0, known=("", "flex"))
    names.confirm("flex")
    names.confirm("x")
    assert labels(names, "", "flex", "x", "y") == ["", "flex", "x", OTHER]


def test_a_name_that_reads_as_the_common_label_takes_none() -> None:
    names = BoundedNames(1)
    names.confirm(OTHER)
    assert labels(names, OTHER, "a") == [OTHER, "a"]


@pytest.mark.parametrize("name", ["\ud800", "x" * (NAME_MAX + 1)])
def test_a_label_is_short_and_encodable_and_its_name_keeps_it(name: str) -> None:
    names = BoundedNames(1)
    assert names.label(name) == names.label(name) != OTHER
    assert len(names.label(name).encode()) <= NAME_MAX


def test_a_gauge_shows_levels_of_their_own_and_joins_the_others() -> None:
    registry = CollectorRegistry()
    gauge = FoldedGauge(Gauge("level", "A level.", ("model", "tier"), registry=registry), sum)

    def shown(model: str, tier: str) -> float | None:
        return registry.get_sample_value("level", {"model": model, "tier": tier})

    gauge.set(3.0, ("a", "x"), ("a", "x"))
    gauge.set(5.0, ("a", "y"), ("a", OTHER))
    gauge.set(2.0, ("a", "z"), ("a", OTHER))
    gauge.set(1.0, ("b", "z"), (OTHER, "z"))
    gauge.set(0.0, ("b", "y"), (OTHER, OTHER))
    assert (shown("a", "x"), shown("a", OTHER), shown(OTHER, "z"), shown(OTHER, OTHER)) == (3.0, 7.0, 1.0, 0.0)
    gauge.set(0.0, ("a", "y"), ("a", OTHER))
    gauge.set(4.0, ("b", "z"), (OTHER, OTHER))
    assert (shown("a", OTHER), shown(OTHER, "z"), shown(OTHER, OTHER)) == (2.0, 0.0, 4.0)
    gauge.forget("b")
    gauge.forget("a")
    assert (shown("a", "x"), shown("a", OTHER), shown(OTHER, OTHER)) == (3.0, 0.0, 0.0)
