import inspect
from dataclasses import is_dataclass
from typing import get_args

from headrace.broker.core import events


def test_every_event_of_the_module_is_in_the_union() -> None:
    defined = {
        each for _, each in inspect.getmembers(events, is_dataclass) if each.__module__ == "headrace.broker.core.events"
    }
    assert set(get_args(events.Event)) == defined


def test_every_event_is_frozen_or_a_value_which_the_type_checker_freezes() -> None:
    """`headrace.broker.core.value` hashes by the fields, which a dataclass that may be changed does not."""
    for each in get_args(events.Event):
        made = each.__dataclass_params__
        assert made.frozen or made.unsafe_hash, each
