from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.gateway.joins.call_index import CallIndex

WINDOW_MS = 1_000


def index(**options: int) -> CallIndex:
    return CallIndex(window_ms=WINDOW_MS, **options)


def test_a_repetition_joins_the_newest_call_of_its_content() -> None:
    calls = index()
    calls.opened("a", "call-1", 1)
    calls.opened("a", "call-2", 2)
    calls.opened("b", "call-3", 3)
    assert calls.repeated("a", 4) == "call-2"
    assert calls.repeated("b", 4) == "call-3"
    assert calls.repeated("c", 4) is None


def test_a_call_that_a_client_has_received_is_joined_by_none() -> None:
    calls = index()
    calls.opened("a", "call-1", 1)
    calls.opened("a", "call-2", 2)
    calls.received("call-2")
    assert calls.repeated("a", 3) == "call-1"
    calls.received("call-1")
    assert calls.repeated("a", 3) is None
    assert not len(calls)


def test_a_call_whose_answer_was_received_before_its_note_was_read_is_joined_by_none() -> None:
    calls = index()
    calls.opened("d", "a", 0)
    calls.received("a")
    calls.opened("d", "a", 0)
    assert calls.repeated("d", 1) is None


def test_of_two_equal_calls_cut_off_together_each_gets_one() -> None:
    calls = index()
    calls.opened("a", "call-1", 1)
    calls.opened("a", "call-2", 2)
    first = calls.repeated("a", 3)
    assert first == "call-2"
    calls.waits(first)
    assert calls.repeated("a", 3) == "call-1"
    calls.left(first)
    assert calls.repeated("a", 3) == "call-2"


def test_of_two_repetitions_that_come_at_once_each_gets_one() -> None:
    calls = index()
    calls.opened("a", "call-1", 1)
    calls.opened("a", "call-2", 2)
    assert [calls.repeated("a", 3), calls.repeated("a", 3)] == ["call-2", "call-1"]


def test_of_three_each_gets_one_before_the_first_clients_are_known_to_be_gone() -> None:
    calls = index()
    for nth in (1, 2, 3):
        calls.opened("a", f"call-{nth}", nth)
        calls.waits(f"call-{nth}")
    chosen = []
    for _ in range(3):
        call = calls.repeated("a", 4)
        assert call is not None
        calls.waits(call)
        chosen.append(call)
    assert chosen == ["call-3", "call-2", "call-1"]


def test_two_that_come_at_once_before_the_first_clients_are_known_to_be_gone_get_one_each() -> None:
    calls = index()
    for nth in (1, 2):
        calls.opened("a", f"call-{nth}", nth)
        calls.waits(f"call-{nth}")
    assert [calls.repeated("a", 3), calls.repeated("a", 3)] == ["call-2", "call-1"]


def test_a_repetition_whose_client_never_waits_keeps_its_call_for_a_second() -> None:
    calls = CallIndex(window_ms=10_000)
    calls.opened("a", "call-1", 1)
    calls.opened("a", "call-2", 2)
    assert calls.repeated("a", 3) == "call-2"
    assert calls.repeated("a", 1_002) == "call-1"
    assert calls.repeated("a", 1_003) == "call-2"


def test_a_call_with_a_client_is_joined_where_no_other_is_left() -> None:
    calls = index()
    calls.opened("a", "call-1", 1)
    calls.waits("call-1")
    assert calls.repeated("a", 2) == "call-1"


def test_a_call_is_forgotten_after_the_window() -> None:
    calls = index()
    calls.opened("a", "call-1", 0)
    assert calls.repeated("a", WINDOW_MS) == "call-1"
    assert calls.repeated("a", WINDOW_MS + 1) is None
    assert not len(calls)


def test_memory_is_bounded_and_the_oldest_call_goes_first() -> None:
    calls = index(entries_max=2)
    for number in range(5):
        calls.opened("a", f"call-{number}", number)
    assert len(calls) == 2
    calls.received("call-4")
    assert calls.repeated("a", 5) == "call-3"


def test_what_is_told_of_an_unknown_call_changes_nothing() -> None:
    calls = index()
    calls.waits("call-1")
    calls.left("call-1")
    calls.opened("a", "call-1", 1)
    calls.opened("a", "call-1", 2)
    calls.left("call-1")
    assert calls.repeated("a", 3) == "call-1"
    assert len(calls) == 1


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["opened", "received", "waits", "left", "repeated"]), st.integers(0, 3), st.integers(0, 9)
    ),
    max_size=60,
)


@given(EVENTS)
def test_a_joined_call_is_always_one_of_its_content_that_no_client_has(events: list[tuple[str, int, int]]) -> None:
    calls = CallIndex(window_ms=10_000)
    opened: dict[str, str] = {}
    received: set[str] = set()
    for now, (event, content, number) in enumerate(events):
        digest, call_id = str(content), f"{content}-{number}"
        match event:
            case "opened":
                calls.opened(digest, call_id, now)
                opened |= {call_id: digest} if call_id not in received else {}
            case "received":
                calls.received(call_id)
                received.add(call_id)
                opened.pop(call_id, None)
            case "waits":
                calls.waits(call_id)
            case "left":
                calls.left(call_id)
            case _:
                same = {each for each, of in opened.items() if of == digest}
                found = calls.repeated(digest, now)
                assert (found in same) if same else (found is None)
    assert len(calls) == len(opened)
