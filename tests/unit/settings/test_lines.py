"""Every setting of a TOML file knows its line, however the file is written."""

import tomllib

from headrace.broker.settings.lines import line_at, lines_of

WRITTEN = '''# a comment, and = a sign
kafka.topic_prefix = "x"

[redis]   # "]" in a comment
url = "redis://[::1]:6379/0"  # = and [
key_prefix = """
[not.a.table]
not = "a key"
"""

[limits."gpt-4o.mini"]
models = [
  "gpt-4o-mini*",  # one
  "ft:gpt-4o-mini*",
]
tokens_per_minute = 1
[lanes]
bulk = { order = 9, floor = 0.1 }
[limits.empty]
'''


def test_tables_dotted_keys_inline_tables_and_long_values_have_their_first_line() -> None:
    tomllib.loads(WRITTEN)
    assert lines_of(WRITTEN) == {
        ("kafka", "topic_prefix"): 2,
        ("redis",): 4,
        ("redis", "url"): 5,
        ("redis", "key_prefix"): 6,
        ("limits", "gpt-4o.mini"): 11,
        ("limits", "gpt-4o.mini", "models"): 12,
        ("limits", "gpt-4o.mini", "tokens_per_minute"): 16,
        ("lanes",): 17,
        ("lanes", "bulk", "order"): 18,
        ("lanes", "bulk", "floor"): 18,
        ("limits", "empty"): 19,
    }


def test_what_has_no_line_of_its_own_has_that_of_its_table() -> None:
    lines = lines_of(WRITTEN)
    assert line_at(("redis", "url"), lines) == 5
    assert line_at(("limits", "empty", "models"), lines) == 19
    assert line_at(("topics",), lines) is None


def test_a_value_too_long_to_be_worth_it_costs_no_other_line() -> None:
    text = "a = [\n" + "1,\n" * 1_200 + "]\nb = 1\n"
    assert lines_of(text)["b",] == 1_203
