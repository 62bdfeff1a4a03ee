"""A trace context is what W3C says it is, and everything else is none."""

import pytest

from headrace.broker.trace_context import TraceContext, new_trace_id, read_context, valid_state

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)])
def test_a_context_is_read_and_written(flags: str, sampled: bool) -> None:  # noqa: FBT001 — a case
    context = read_context(f"00-{TRACE}-{SPAN}-{flags}", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert context == TraceContext(int(TRACE, 16), int(SPAN, 16), sampled, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert context.traceparent == f"00-{TRACE}-{SPAN}-{'01' if sampled else '00'}"
    assert read_context(*(value.decode() for _, value in context.headers)) == context


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "garbage",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-0g",
        f"0\N{ARABIC-INDIC DIGIT ZERO}-{TRACE}-{SPAN}-01",
    ],
)
def test_anything_else_is_no_context(given: str | None) -> None:
    assert read_context(given) is None


def test_a_later_version_may_append() -> None:
    assert read_context(f"01-{TRACE}-{SPAN}-01-what-comes") == TraceContext(int(TRACE, 16), int(SPAN, 16), True)
    assert read_context(f"01-{TRACE}-{SPAN}-01what") is None


@pytest.mark.parametrize("state", ["a=1", "a=1,b=2", "a@b=x", " a=1 , b=2", "a=1,,b=2", "0a_-*/=!~"])
def test_a_state_is_carried_on(state: str) -> None:
    assert valid_state(state)


@pytest.mark.parametrize(
    "state",
    [
        None,
        "",
        ",",
        "a",
        "=1",
        "A=1",
        "a=1,a=2",
        "a=1;b\n=2",
        "a=ü",
        "a=1=2",
        "x" * 513,
        ",".join(f"k{number}=1" for number in range(33)),
    ],
)
def test_a_malformed_or_long_state_is_dropped_and_the_context_stays(state: str | None) -> None:
    assert valid_state(state) == ""
    assert read_context(f"00-{TRACE}-{SPAN}-01", state) == TraceContext(int(TRACE, 16), int(SPAN, 16), True)


def test_the_same_parts_have_the_same_ids_and_others_have_others() -> None:
    context = TraceContext(1, 2, True)
    assert context.derived("call", "a", 1) == context.derived("call", "a", 1)
    others = {context.derived(*parts).span_id for parts in (("call", "a", 1), ("call", "a", 2), ("call", "b", 1))}
    assert len(others | {context.derived("call", "a", 1).span_id}) == 3
    assert TraceContext(3, 2, True).derived("call", "a", 1).span_id not in others
    assert new_trace_id("t", 0, 1) == new_trace_id("t", 0, 1) != new_trace_id("t", 0, 2)
    assert 0 < context.derived("x").span_id < 2**64
    assert 0 < new_trace_id("x") < 2**128
