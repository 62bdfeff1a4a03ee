"""Headers of a trace from any sender: nothing raises, and what reaches OpenAI is a context by the book, or none."""

import json
import re
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.broker.service.tracing.request_trace import context_of
from headrace.broker.trace_context import context_in, new_trace_id, read_context, valid_state
from headrace.schemas.record import Record
from headrace.schemas.request_codec import DecodedRequest, Undecodable, decode_request

BY_THE_BOOK = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]")
hexadecimal = st.text("0123456789abcdefABCDEFg", max_size=40)
almost = st.builds(
    "-".join,
    st.tuples(
        st.sampled_from(["00", "01", "ff", "0", "000"]),
        st.one_of(st.just("0" * 32), st.just("a" * 32), hexadecimal),
        st.one_of(st.just("0" * 16), st.just("b" * 16), hexadecimal),
        st.one_of(st.just("01"), hexadecimal),
    ),
)
texts = st.one_of(almost, st.text(max_size=700), st.just("00-" + "a" * 100_000))
members = st.sampled_from(
    ["a=1", "b=2", "a@b=x", "a=1=2", "A=1", "=1", " c=3 ", "d=", "e=\N{COPYRIGHT SIGN}", "f=" + "x" * 300, ""]
)
states = st.one_of(st.text(max_size=100), st.lists(members, max_size=40).map(",".join), st.just("k=v," * 200))
values = st.one_of(st.binary(max_size=200), texts.map(lambda text: text.encode(errors="surrogatepass")))
names = st.sampled_from(["traceparent", "tracestate", "Traceparent", "ce_id"])


@settings(max_examples=60, deadline=None)
@given(texts, states)
def test_a_context_that_is_read_is_written_by_the_book(traceparent: str, tracestate: str) -> None:
    context = read_context(traceparent, tracestate)
    if context is not None:
        assert BY_THE_BOOK.fullmatch(context.traceparent)
        assert traceparent.startswith(("00-", "01-", "0"))
        assert context.trace_name in traceparent
        assert len(context.state) <= 512
        assert context.state.isascii()
        assert "\n" not in context.state
        assert BY_THE_BOOK.fullmatch(context.derived("call", 1).traceparent)


@settings(max_examples=60, deadline=None)
@given(states)
def test_a_state_that_is_carried_on_is_carried_on_again(tracestate: str) -> None:
    assert valid_state(valid_state(tracestate)) == valid_state(tracestate)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, values), max_size=8), st.sampled_from([b'{"id": "a", "body": {"model": "m"}}', b"?"]))
def test_a_record_with_any_headers_has_a_trace(headers: list[tuple[str, bytes]], value: bytes) -> None:
    record = Record(None, value, tuple(headers))
    content = decode_request(record.value, record.headers)
    parent, trace_id = context_of(record, content, ("t", 0, 1))
    assert isinstance(content, DecodedRequest | Undecodable)
    assert trace_id == (new_trace_id("t", 0, 1) if parent is None else parent.trace_id)
    found = context_in(record.headers)
    assert found is None or BY_THE_BOOK.fullmatch(found.traceparent)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(["traceparent", "tracestate"]), st.one_of(texts, st.none(), st.integers())))
def test_an_event_in_structured_mode_has_its_trace_among_its_attributes(more: Mapping[str, object]) -> None:
    event = {"specversion": "1.0", "id": "a", "data": {"body": {"model": "m"}}, **more}
    headers = (("content-type", b"application/cloudevents+json"),)
    record = Record(None, json.dumps(event).encode(), headers)
    content = decode_request(record.value, record.headers)
    parent, _ = context_of(record, content, ("t", 0, 1))
    assert parent is None or BY_THE_BOOK.fullmatch(parent.traceparent)
