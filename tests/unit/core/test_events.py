import inspect
from dataclasses import FrozenInstanceError, is_dataclass
from typing import get_args

import pytest

from broker.core import events
from broker.core.ticket import CallNumber


def test_every_event_of_the_module_is_in_the_union() -> None:
    defined = {each for _, each in inspect.getmembers(events, is_dataclass) if each.__module__ == "broker.core.events"}
    assert set(get_args(events.Event)) == defined


def test_events_never_change_once_posted() -> None:
    refused = events.CallNotSent(CallNumber(1))
    with pytest.raises(FrozenInstanceError):
        setattr(refused, "call", 2)  # noqa: B010 — a plain assignment is what mypy refuses
    assert refused == events.CallNotSent(CallNumber(1))
