import gc
import weakref
from collections.abc import Iterator

import pytest

from broker.service.collecting import OBJECTS_BETWEEN, collect_rarely


class Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def usual_pace() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_was_loaded_is_never_looked_at_again() -> None:
    loaded = Ring()
    collect_rarely()
    assert not any(each is loaded for each in gc.get_objects())


def test_a_cycle_is_found_before_many_more_objects_are_made() -> None:
    collect_rarely()
    lost = weakref.ref(Ring())
    assert lost() is not None
    kept: list[list[int]] = []
    while lost() is not None:
        kept.append([])
        assert len(kept) <= OBJECTS_BETWEEN
    assert len(kept) > OBJECTS_BETWEEN // 2
