"""Caps of a key at one replica."""

import pytest

from headrace.broker.gateway.keys.caps import Caps
from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.keys.refusals import CapReachedError


def key(name: str = "a", *, inflight: int | None = None, per_minute: int | None = None) -> ClientKey:
    return ClientKey(name=name, tenant="t", inflight_max=inflight, requests_per_minute=per_minute)


def taken(caps: Caps, one: ClientKey, now_s: float, tries: int) -> int:
    """Count the calls that enter, of so many at one instant; each leaves at once."""
    entered = 0
    for _ in range(tries):
        try:
            caps.enter(one, now_s)
        except CapReachedError:
            continue
        caps.leave(one)
        entered += 1
    return entered


def test_a_call_beyond_those_in_flight_is_refused_until_one_leaves() -> None:
    caps, one = Caps(), key(inflight=2)
    caps.enter(one, 0)
    caps.enter(one, 0)
    with pytest.raises(CapReachedError, match="2 calls in flight, and may have 2") as refused:
        caps.enter(one, 0)
    assert (refused.value.cap, refused.value.retry_after_s) == ("inflight_max", 1)
    assert caps.inflight(one) == 2
    caps.leave(one)
    caps.enter(one, 0)


def test_a_minutes_calls_may_come_at_once_and_then_one_by_one() -> None:
    caps, one = Caps(), key(per_minute=30)
    assert taken(caps, one, 1_000.0, 40) == 30
    with pytest.raises(CapReachedError, match="30 calls per minute") as refused:
        caps.enter(one, 1_000.5)
    assert refused.value.cap == "requests_per_minute"
    assert refused.value.retry_after_s == pytest.approx(1.5)
    assert taken(caps, one, 1_000.5 + refused.value.retry_after_s, 5) == 1
    assert taken(caps, one, 1_062.0, 40) == 30


@pytest.mark.parametrize("per_minute", [1, 7, 60, 601, 1_000_000])
def test_no_minute_after_the_first_has_more_calls_than_the_cap(per_minute: int) -> None:
    caps, one = Caps(), key(per_minute=per_minute)
    tries = min(per_minute, 5_000) + 10
    begin = taken(caps, one, 0.0, tries)
    assert begin <= per_minute
    later = sum(taken(caps, one, second / 4, 50) for second in range(1, 241))
    assert later <= per_minute
    assert later >= min(per_minute, 240 * 50) - 1 or per_minute > 5_000


def test_a_refused_call_uses_neither_cap() -> None:
    caps, one = Caps(), key(inflight=1, per_minute=2)
    caps.enter(one, 0)
    for _ in range(100):
        with pytest.raises(CapReachedError, match="in flight"):
            caps.enter(one, 0)
    caps.leave(one)
    caps.enter(one, 0)
    caps.leave(one)
    with pytest.raises(CapReachedError, match="per minute"):
        caps.enter(one, 0)
    assert caps.inflight(one) == 0


def test_a_raised_or_lowered_cap_counts_at_once() -> None:
    caps = Caps()
    assert taken(caps, key(per_minute=60), 0, 100) == 60
    assert taken(caps, key(per_minute=60), 6, 100) == 6
    assert taken(caps, key(per_minute=600), 12, 100) == 60
    assert taken(caps, key(per_minute=6), 13, 100) == 0
    assert taken(caps, key(), 13, 100) == 100


def test_each_key_has_caps_of_its_own() -> None:
    caps = Caps()
    caps.enter(key("a", inflight=1), 0)
    caps.enter(key("b", inflight=1), 0)
    with pytest.raises(CapReachedError):
        caps.enter(key("b", inflight=1), 0)


def test_entries_of_keys_that_are_no_longer_used_vanish() -> None:
    caps = Caps()
    caps.enter(key("stays"), 0)
    for number in range(200):
        assert taken(caps, key(f"k{number}", per_minute=60), 0, 60) == 60
    assert taken(caps, key("without caps"), 0, 5) == 5
    assert len(caps) == 201
    assert taken(caps, key("x", per_minute=1), 59, 1) == 1
    assert len(caps) == 202
    taken(caps, key("y"), 60.0, 1)
    assert len(caps) == 2, "one in flight, one that waits for its next call"
    taken(caps, key("y"), 120.0, 1)
    assert len(caps) == 1


def test_a_call_leaves_no_more_often_than_it_entered() -> None:
    caps, one = Caps(), key(per_minute=5)
    with pytest.raises(ValueError, match="no call of the key a is in flight"):
        caps.leave(one)
    caps.enter(one, 0)
    caps.leave(one)
    with pytest.raises(ValueError, match="no call of the key a is in flight"):
        caps.leave(one)
