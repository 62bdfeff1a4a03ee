"""The row of conversations: each turn is charged for all that was said before it, and says none of it."""

from dataclasses import replace

from benchmarks.limits.calls import calls, calls_of
from benchmarks.limits.dispatching import dispatch
from benchmarks.limits.rows import ROWS
from headrace.broker.simulator.pricing import ChatLaw, Endpoint

(ROW,) = (row for row in ROWS if row.conversations)


def test_a_turn_carries_what_the_one_before_it_was_given_and_wrote() -> None:
    made, plain = calls_of(replace(ROW, calls=5, conversations=2)), calls(5)
    assert [call.before for call in made] == ["", "", made[0].id, made[1].id, made[2].id]
    first, third, fifth = made[0], made[2], made[4]
    assert third.carried_tokens == first.shown_tokens + first.output_tokens
    assert fifth.carried_tokens == third.carried_tokens + third.shown_tokens + third.output_tokens
    assert fifth.charge(ChatLaw.CHAT_2025) == fifth.shown_tokens + fifth.carried_tokens + 19
    assert fifth.ask().endpoint is Endpoint.RESPONSES
    assert [call.text_bytes for call in made] == [call.text_bytes for call in plain]


def test_the_dispatcher_is_refused_next_to_nothing() -> None:
    row = replace(ROW, calls=1_800, conversations=900)
    record = dispatch(row, calls_of(row))
    assert (record.calls, record.lost) == (1_800, 0)
    assert len(record.refused) <= 2
