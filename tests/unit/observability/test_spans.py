"""The table of spans says which convention each name comes from; the published constants confirm it."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from opentelemetry.semconv._incubating.attributes import (
    error_attributes,
    gen_ai_attributes,
    http_attributes,
    messaging_attributes,
    openai_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import SpanKind

from headrace.broker.observability.spans import SCHEMA_URL, SPANS, Attribute, Convention
from headrace.broker.observability.spans import SpanKind as Kind

PUBLISHED: dict[Convention, tuple[ModuleType, ...]] = {
    Convention.MESSAGING: (messaging_attributes,),
    Convention.GEN_AI: (gen_ai_attributes, openai_attributes),
    Convention.GENERAL: (error_attributes, http_attributes, server_attributes, url_attributes),
}


def constants(modules: tuple[ModuleType, ...]) -> set[str]:
    return {value for module in modules for name, value in vars(module).items() if name.isupper()}


@pytest.mark.parametrize("attribute", Attribute)
def test_each_attribute_is_published_under_its_name_or_is_our_own(attribute: Attribute) -> None:
    if attribute.source is Convention.HEADRACE:
        assert re.fullmatch(r"headrace(\.[a-z_]+)+", attribute.value)
    else:
        assert attribute.value in constants(PUBLISHED[attribute.source])


def test_no_two_attributes_share_a_name() -> None:
    assert len(Attribute.__members__) == len({each.value for each in Attribute})


def test_the_schema_is_the_newest_that_the_locked_package_knows() -> None:
    assert list(Schemas)[-1].value == SCHEMA_URL
    assert all(SCHEMA_URL.rpartition("/")[2] in each.value for each in (Convention.MESSAGING, Convention.GENERAL))


def test_kinds_and_operations_are_opentelemetrys() -> None:
    assert {kind.value for kind in Kind} <= {kind.name for kind in SpanKind}
    operations = {each.value for each in gen_ai_attributes.GenAiOperationNameValues}
    assert {row.operation for row in SPANS if row.source is Convention.GEN_AI} <= operations
    messaging = {each.value for each in messaging_attributes.MessagingOperationTypeValues}
    assert {row.operation for row in SPANS if row.source is Convention.MESSAGING} <= messaging


def test_the_page_has_each_span_and_each_attribute_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs/tracing.md").read_text(encoding="utf-8")
    [tables] = re.findall(r"^## Spans and attributes$(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|(.*)$", tables, re.MULTILINE)
    spans = {f"{row.operation} {row.target}": row.kind.value for row in SPANS}
    assert {name: told for name, told, more in rows if more} == spans
    assert {name: told for name, told, more in rows if not more} == {each.value: each.meaning for each in Attribute}
    assert SCHEMA_URL in page
