"""Where one thing to explain ends and the next begins."""

import json

import pytest

from headrace.broker.cli.explain.pieces import LINE_CHARS_MAX, LINES_MAX, pieces


def cut(text: str) -> list[tuple[int, str]]:
    return [(piece.line, piece.text) for piece in pieces(line.encode() for line in text.splitlines(keepends=True))]


def test_a_json_line_is_a_piece_of_its_own_and_blank_lines_are_none() -> None:
    assert cut('{"a": 1}\n\n{"b": 2}\r\n[3]\n') == [(1, '{"a": 1}'), (3, '{"b": 2}'), (4, "[3]")]
    assert cut("\n \n") == []
    assert cut('\ufeff{"a": 1}') == [(1, '{"a": 1}')]


def test_among_json_lines_every_broken_one_is_a_piece_too() -> None:
    text = '{"a": 1}\nnot json\nnor this\n{"b": \n{"c": 3}\n{"d": 4'
    assert cut(text) == [
        (1, '{"a": 1}'),
        (2, "not json"),
        (3, "nor this"),
        (4, '{"b":'),
        (5, '{"c": 3}'),
        (6, '{"d": 4'),
    ]


def test_a_broken_first_line_does_not_swallow_the_next() -> None:
    assert [text for _, text in cut('{"a": 1, "b\n{"c": 3}\nx\ny')] == ['{"a": 1, "b', '{"c": 3}', "x", "y"]
    assert [text for _, text in cut('garbage\n{"c": 3}\nx\ny')] == ["garbage", '{"c": 3}', "x", "y"]


def test_a_spread_out_body_is_one_piece_up_to_where_it_closes() -> None:
    body = json.dumps({"error": {"message": "m", "inner": [{"a": 1}]}}, indent=2)
    assert [line for line, _ in cut(f"{body}\n{body}\nand more")] == [
        1,
        1 + body.count("\n") + 1,
        2 * body.count("\n") + 3,
    ]
    assert cut(body) == [(1, body)]


def test_an_exchange_is_its_heads_and_its_body() -> None:
    first = 'HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\n\r\n{"error": null}\r\n'
    redirected = "HTTP/1.1 200 Connection established\n\nHTTP/2 503 \nserver: x\n\n<html>\n\nbusy"
    assert [line for line, _ in cut(first + redirected)] == [1, 5]
    (piece,) = cut(redirected)
    assert "busy" in piece[1]


def test_events_of_a_stream_are_one_piece() -> None:
    stream = 'event: error\ndata: {"a": 1}\n\n: ping\nid: 7\ndata: [DONE]\n\n'
    assert len(cut(stream)) == 1
    assert [line for line, _ in cut(f"{stream}Rate limit reached")] == [1, 8]


def test_a_text_goes_on_to_a_blank_line_or_to_what_can_only_be_another() -> None:
    wrapped = "Rate limit reached for gpt-4o in organization o on tokens\nper min (TPM): Limit 30000"
    assert cut(wrapped) == [(1, wrapped)]
    assert [line for line, _ in cut(f"{wrapped}\n\n{wrapped}")] == [1, 4]
    other = [
        '{"a": 1}',
        "HTTP/1.1 500 x",
        "data: {}",
        "Request too large for m",
        "openai.RateLimitError: Error code: 429",
    ]
    for line in other:
        assert [where for where, _ in cut(f"{wrapped}\n{line}")] == [1, 3], line


def test_a_traceback_is_one_piece_blank_lines_and_all() -> None:
    text = "Traceback (most recent call last):\n  File x\nValueError: y\n\nDuring handling:\n\nopenai.RateLimitError: z"
    assert cut(text) == [(1, text)]
    assert [line for line, _ in cut(text + '\n{"a": 1}')] == [1, 8]


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"\x00" * 100, b"{" * 50_000, b"[" * 50_000 + b"\n" + b"{" * 9])
def test_bytes_that_are_no_text_are_pieces_all_the_same(raw: bytes) -> None:
    assert all(piece.text for piece in pieces(raw.splitlines(keepends=True)))


def test_no_piece_grows_beyond_its_bounds() -> None:
    (long,) = pieces([b"x" * (LINE_CHARS_MAX + 5)])
    assert len(long.text) == LINE_CHARS_MAX
    assert [piece.line for piece in pieces([b"x\n"] * (LINES_MAX + 5))] == [1, LINES_MAX + 1]
