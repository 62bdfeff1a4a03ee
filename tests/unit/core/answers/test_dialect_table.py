"""What must hold of every row, and that the page of facts has them all."""

import re
from pathlib import Path

import pytest

from headrace.broker.core.answers.dialect_table import STATED_HEADERS, TABLE
from headrace.broker.core.answers.dialects import Dialect
from headrace.broker.core.answers.meaning import Meaning
from headrace.broker.core.answers.rate_limit_headers import LimitMetric

FACTS = Path(__file__).parents[4] / "docs" / "facts" / "dialects.md"
BUDGETED = {metric.value for metric in LimitMetric}
GROUPS = {"metric", "unit", "period", "times", "seconds", "id", "capacity", "used", "left", "requested", "more"}
NAMES = {"name", "model", "project"}
WAIT_GROUPS = {"go", "span", "at"}

of_each_row = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)


def expressions(row: Dialect) -> list[str]:
    by_meaning = [*row.phrases.values(), *row.openings.values()]
    texts = [text for texts in by_meaning for text in texts]
    templates = [text for template in row.templates for text in (template.sentence, *template.further)]
    return [*texts, *row.broke, *row.misfits, *row.waits, *templates]


@of_each_row
def test_a_bucket_that_a_budget_believes_has_a_period(row: Dialect) -> None:
    for bucket in row.buckets:
        assert bucket.period_ms is not None or bucket.shown_only or bucket.kind not in BUDGETED
        assert {bucket.limit, bucket.remaining} == {name.lower() for name in (bucket.limit, bucket.remaining)}


@of_each_row
def test_buckets_of_one_metric_stand_in_the_order_of_their_periods(row: Dialect) -> None:
    for metric in BUDGETED:
        periods = [bucket.period_ms for bucket in row.buckets if bucket.kind == metric and not bucket.shown_only]
        assert periods == sorted(periods, key=lambda period_ms: period_ms or 0)


@of_each_row
def test_every_expression_compiles_and_none_repeats_without_a_bound(row: Dialect) -> None:
    """An unbounded repetition beside another one is what makes an expression take quadratic time, or worse."""
    for text in expressions(row):
        re.compile(text)
        assert not re.search(r"(?<!\\)[*+]", re.sub(r"\[[^\]]*\]", "", text)), text


@of_each_row
def test_templates_and_waits_have_known_groups(row: Dialect) -> None:
    for template in row.templates:
        groups = {name for text in (template.sentence, *template.further) for name in re.compile(text).groupindex}
        assert groups <= GROUPS | NAMES
        assert template.metric or groups & {"metric", "unit", "id"}
    for wait in row.waits:
        assert set(re.compile(wait).groupindex) <= WAIT_GROUPS


@of_each_row
def test_words_are_lower_case_as_they_are_compared(row: Dialect) -> None:
    for words in (*row.codes.values(), *row.types.values(), *row.reasons.values(), row.throttles, row.wait_fields):
        assert words == words.lower()


def test_no_code_has_two_meanings() -> None:
    for field in ("codes", "types", "reasons"):
        said: dict[str, Meaning] = {}
        for row in TABLE:
            for meaning, words in getattr(row, field).items():
                for word in words.split():
                    assert said.setdefault(word, meaning) is meaning, word


def test_no_header_has_two_buckets() -> None:
    buckets = {bucket for row in TABLE for bucket in row.buckets}
    assert len({bucket.remaining for bucket in buckets}) == len(buckets)


@pytest.mark.interpreted  # it reads a page of the docs, which are not beside the compiled core
def test_every_row_has_a_name_of_its_own_and_its_source_on_the_page() -> None:
    page = FACTS.read_text(encoding="utf-8")
    assert len({row.name for row in TABLE}) == len(TABLE)
    for row in TABLE:
        assert f"| {row.name} |" in page, row.name


def test_headers_of_a_refusal_are_named_as_they_are_looked_up() -> None:
    assert all(name == name.lower() for name in STATED_HEADERS)
    assert "policy-id" in STATED_HEADERS
