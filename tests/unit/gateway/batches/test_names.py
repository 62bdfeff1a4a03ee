import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.broker.adapters.kafka.read_back import partitions_of
from headrace.broker.gateway.batches.names import (
    answer_id,
    answers_file_id,
    line_number,
    line_prefix,
    line_request_id,
    new_batch_id,
    new_file_id,
)
from headrace.schemas.ids import is_valid_id


@given(
    st.from_regex(r"[A-Za-z0-9._-]{1,40}", fullmatch=True),
    st.integers(min_value=0, max_value=49_999),
    st.integers(min_value=0, max_value=11),
)
def test_the_ids_of_a_batch_all_lie_in_its_partition_and_name_their_line(tenant: str, number: int, home: int) -> None:
    batch_id = "batch_abcdefghijklmnopqrstuvwx"
    request_id = line_request_id(tenant, batch_id, number, lambda key: partitions_of(key, (12,)) == [home])
    assert partitions_of(request_id.encode(), (12,)) == [home]
    assert line_number(tenant, batch_id, request_id) == number
    assert request_id.encode().startswith(line_prefix(tenant, batch_id))
    assert is_valid_id(request_id)


def test_an_id_is_the_same_whenever_it_is_asked_for() -> None:
    ids = {line_request_id("acme", "batch_a", 7, lambda key: key[-1] % 3 == 0) for _ in range(5)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    "request_id",
    [
        "acme/batch_a",
        "acme/batch_a-",
        "acme/batch_a-1",
        "acme/batch_a-1-",
        "acme/batch_a--1",
        "acme/batch_a-x-1",
        "acme/batch_a-1-x",
        "acme/batch_a-²-1",
        "acme/batch_a-1-1-1",
        "acme/batch_a-1234567-1",
        "acme/batch_ab-1-1",
        "other/batch_a-1-1",
        "batch_a-1-1",
    ],
)
def test_an_id_that_is_none_of_the_batch_names_no_line(request_id: str) -> None:
    assert line_number("acme", "batch_a", request_id) is None


def test_ids_are_new_and_look_like_openais() -> None:
    made = {new_batch_id() for _ in range(100)} | {new_file_id() for _ in range(100)}
    assert len(made) == 200
    assert all(name.startswith(("batch_", "file-")) and is_valid_id(name) for name in made)


def test_the_files_of_answers_have_ids_that_any_replica_computes() -> None:
    ids = [answers_file_id("batch_a", is_output=True), answers_file_id("batch_a", is_output=False)]
    assert ids == [answers_file_id("batch_a", is_output=True), answers_file_id("batch_a", is_output=False)]
    assert len({*ids, answers_file_id("batch_b", is_output=True)}) == 3
    assert answer_id("acme/batch_a-1-1").startswith("batch_req_")
