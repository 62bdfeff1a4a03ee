"""One real Kafka and one real Valkey for all integration tests of a run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.local.errors import LocalServicesError
from broker.local.services import LocalServices

_TIMEOUT_S = 180  # real servers, two busy cores; the first start of all fetches 45 MB


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if not item.path.is_relative_to(here):
            continue
        item.add_marker(pytest.mark.services)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


@pytest.fixture(scope="session")
def services() -> Iterator[LocalServices]:
    """The run's pair. A test that kills a server starts it again before it ends, or brings a pair of its own."""
    pair = LocalServices()
    try:
        pair.start()
    except LocalServicesError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    yield pair
    pair.stop()
