from headrace.broker.core.answers.dialect_table import TABLE
from headrace.broker.core.answers.dialect_table_gateways import GATEWAYS


def test_the_rows_of_gateways_end_the_table_and_any_servers_row_ends_them() -> None:
    assert TABLE[-len(GATEWAYS) :] == GATEWAYS
    assert GATEWAYS[-1].name == "any"


def test_a_gateways_limits_for_its_own_keys_are_shown_only() -> None:
    [litellm] = [row for row in GATEWAYS if row.name == "LiteLLM"]
    assert litellm.buckets
    assert all(bucket.shown_only for bucket in litellm.buckets)
