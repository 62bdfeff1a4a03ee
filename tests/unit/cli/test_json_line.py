"""What keeps a line from being a JSON object, and where."""

import json

import pytest

from headrace.broker.cli.json_line import BrokenLine, object_in


@pytest.mark.parametrize(
    ("line", "column", "said"),
    [
        ("", 1, "the line ends inside the object"),
        ('{"id": "a"', 11, "the line ends inside the object"),
        ('{"id": "a",}', 12, "a key in double quotes is missing here"),
        ('{"id" "a"}', 7, "the key before this has no colon"),
        ('{"id": "a" "body": {}}', 12, "a comma or a closing bracket is missing here"),
        ('{"id": }', 8, "a value is missing here"),
        ('{"id": "a}', 8, "the text that begins here has no closing quote"),
        ('{"id": "a\tb"}', 10, "write it as an escape"),
        (r'{"id": "a\d"}', 10, r"write \\ for a backslash"),
        ('{"id": "a"} {"id": "b"}', 13, "something follows the object here"),
        ("{'id': 'a'}", 2, "it looks like Python"),
        ('{"id": None}', 8, "it looks like Python"),
        ("id,model,prompt", 1, "a value is missing here"),
        ('{"id": NaN}', None, "JSON has no NaN"),
        ('{"id": -Infinity}', None, "JSON has no -Infinity"),
        ("[1]", None, "It is a list, not a JSON object."),
        ('"{}"', None, "It is text, not a JSON object."),
        ("[" * 100_000, None, "It is nested too deeply: flatten it."),
        ('{"n": ' + "9" * 5_000 + "}", None, "It holds a number with too many digits: shorten it."),
        ('{"id": 1, "id": 2}', None, "The key id occurs twice in one object"),
        ('{"body": {"model": "a", "x": [{"y": 1, "y": 1}]}}', None, "The key y occurs twice"),
    ],
)
def test_a_line_is_told_what_is_wrong_with_it_and_where(line: str, column: int | None, said: str) -> None:
    with pytest.raises(BrokenLine) as raised:
        object_in(line.encode())
    assert (raised.value.column, said in str(raised.value)) == (column, True), str(raised.value)
    assert "Expecting" not in str(raised.value)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_what_is_not_utf_8_is_told_the_column_and_what_converts_it(encoding: str) -> None:
    with pytest.raises(BrokenLine, match="iconv") as raised:
        object_in('{"id": "M\u00fcller"}'.encode(encoding))
    assert raised.value.column == 10


def test_columns_count_characters() -> None:
    with pytest.raises(BrokenLine) as raised:
        object_in('{"\u00fc\u00fc\u00fc": x}'.encode())
    assert raised.value.column == 9


def test_a_byte_order_mark_and_equal_keys_of_different_objects_are_fine() -> None:
    told = {"id": "a", "body": {"id": "a"}}
    assert object_in(b"\xef\xbb\xbf" + json.dumps(told).encode() + b"\r\n") == told
