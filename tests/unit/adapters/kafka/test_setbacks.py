"""Each error of aiokafka stands once in the table of what it means for a transaction."""

from collections import Counter

import pytest
from aiokafka import errors

from headrace.broker.adapters.kafka.setbacks import SETBACKS, TABLE, ErrorSubject, InvalidRecordError, kind_of
from headrace.broker.core.setback import Setback

CLASSES = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)}


def test_each_error_of_the_client_stands_once_and_nothing_else_does() -> None:
    counts = Counter(each for classes in TABLE.values() for each in classes)
    assert counts == Counter({*CLASSES, InvalidRecordError})
    assert TABLE.keys() == SETBACKS.keys() == set(ErrorSubject)


def test_each_code_that_the_client_knows_has_a_class_in_the_table() -> None:
    for code, error in errors.kafka_errors.items():
        assert errors.for_code(code) is error
        assert any(error in classes for classes in TABLE.values())


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (3, ErrorSubject.DENIAL),
        (6, ErrorSubject.CHANCE),
        (10, ErrorSubject.CONTENT),
        (12, ErrorSubject.CHANCE),
        (29, ErrorSubject.DENIAL),
        (47, ErrorSubject.FENCE),
        (50, ErrorSubject.DENIAL),
        (87, ErrorSubject.CONTENT),
        (120, ErrorSubject.CHANCE),
    ],
)
def test_a_code_of_a_broker_has_its_kind(code: int, kind: ErrorSubject) -> None:
    assert kind_of(errors.for_code(code)()) is kind


def test_what_is_no_error_of_the_client_may_be_chance_unless_a_record_was_being_written() -> None:
    class Derived(errors.UnknownTopicOrPartitionError):  # type: ignore[misc]  # aiokafka is untyped
        pass

    assert kind_of(Derived()) is ErrorSubject.DENIAL
    assert {kind_of(each) for each in (OSError(), TimeoutError(), AssertionError(), ValueError())} == {
        ErrorSubject.CHANCE
    }
    assert kind_of(ValueError(), sending=True) is ErrorSubject.CONTENT


def test_only_content_is_refused_and_only_an_operators_error_is_denied() -> None:
    told = dict(SETBACKS)
    assert told.pop(ErrorSubject.CONTENT) is Setback.REFUSED
    assert told.pop(ErrorSubject.DENIAL) is Setback.DENIED
    assert set(told.values()) == {Setback.UNKNOWN}
