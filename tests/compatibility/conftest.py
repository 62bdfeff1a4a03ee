"""The run's Kafka and Valkey, and time enough to install what is tried."""

from pathlib import Path

import pytest

from tests.integration.conftest import _forked as _forked  # noqa: PLC0414  our own Python's processes are forked
from tests.integration.conftest import services as services  # noqa: PLC0414  the same pair, for this room

_TIMEOUT_S = 180  # a fresh machine downloads some 200 MB in all
_LONGEST = "test_python.py"  # first, or the other workers are idle in the end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path != here / _LONGEST)
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.services)
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))
