"""The gateway that all SDKs are tried on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.broker.local.services import LocalServices
from tests.gateway.sdk_world import SdkWorld, sdk_world

_TIMEOUT_S = 600  # the Go SDKs are large: on a fresh machine their compilation takes minutes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.services)
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


@pytest.fixture(scope="session")
def world() -> Iterator[SdkWorld]:
    services = LocalServices()
    services.start()
    try:
        with sdk_world(services, prefix="sdks") as running:
            yield running
    finally:
        services.stop()
