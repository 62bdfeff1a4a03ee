"""What a key allows."""

from dataclasses import FrozenInstanceError

import pytest

from headrace.broker.gateway.keys.key import ClientKey


def test_a_key_without_lanes_may_use_its_default_lane_alone() -> None:
    key = ClientKey(name="a", tenant="t")
    assert (key.lane, key.lanes) == ("standard", ("standard",))
    assert not key.may_use_lane("urgent")


def test_the_default_lane_is_always_among_the_allowed_ones() -> None:
    key = ClientKey(name="a", tenant="t", lane="bulk", lanes=("urgent", "bulk", "urgent"))
    assert key.lanes == ("bulk", "urgent")
    assert key.may_use_lane("bulk")
    assert key.may_use_lane("urgent")


@pytest.mark.parametrize(
    ("patterns", "model", "is_allowed"),
    [
        (("*",), "gpt-4o", True),
        (("gpt-4o-mini*",), "gpt-4o-mini-2024-07-18", True),
        (("gpt-4o-mini*",), "gpt-4o", False),
        (("gpt-4o", "o?"), "o3", True),
        (("gpt-4o",), "GPT-4o", False),
        ((), "gpt-4o", False),
    ],
)
def test_models_are_allowed_by_pattern(patterns: tuple[str, ...], model: str, *, is_allowed: bool) -> None:
    assert ClientKey(name="a", tenant="t", models=patterns).may_use_model(model) is is_allowed


def test_a_key_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ClientKey(name="a", tenant="t").tenant = "other"  # type: ignore[misc]  # what the test is about
