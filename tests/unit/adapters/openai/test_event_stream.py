import pytest

from headrace.broker.adapters.openai.event_stream import AnswerTooLarge, EventReader

STREAM = b'data: {"a": 1}\n\nevent: x\r\nid: 7\r\ndata:two\r\ndata: lines\r\n\r\n: a comment\rdata\rdata: \xff\r\r\n\n'
TOLD = ['{"a": 1}', "two\nlines", "\ufffd"]


def fed(*pieces: bytes, bytes_max: int = 1_000) -> list[str]:
    reader = EventReader(bytes_max)
    return [data for piece in pieces for data in reader.feed(piece)]


def test_events_are_told_by_their_data_whatever_ends_their_lines() -> None:
    assert fed(STREAM) == TOLD


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_how_the_bytes_are_cut_changes_nothing(size: int) -> None:
    assert fed(*(STREAM[at : at + size] for at in range(0, len(STREAM), size))) == TOLD


def test_an_event_that_has_not_ended_is_not_told() -> None:
    assert fed(b"data: x\n") == []


def test_events_without_data_are_none() -> None:
    assert fed(b":\n\n\n\nevent: x\n\nid: 1\n\nretry: 5\n\ndatax: 1\n\n") == []


@pytest.mark.parametrize("piece", [b"x" * 300, b"data: " + b"x" * 300, b"data: y\n" * 8, b"data:\n" * 8])
def test_what_has_not_ended_is_kept_to_its_bound(piece: bytes) -> None:
    with pytest.raises(AnswerTooLarge) as caught:
        fed(*[piece] * 20)
    assert 1_000 < caught.value.bytes_seen < 1_400


def test_what_has_ended_is_not_kept() -> None:
    assert len(fed(*[b"data: " + b"x" * 300 + b"\n\n"] * 20)) == 20


def test_its_lines_are_counted() -> None:
    reader = EventReader(1_000)
    reader.feed(b"data: x\n\n:\nda")
    assert reader.lines == 3
