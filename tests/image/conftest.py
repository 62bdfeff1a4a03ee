"""The image that `make image` has built, and one real Kafka and Valkey beside it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.broker.local.services import LocalServices
from tests.image.engine import IMAGE, podman

_TIMEOUT_S = 120  # real servers and containers, two busy cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


@pytest.fixture(scope="session")
def image() -> str:
    """Its name; nothing is skipped where it is missing."""
    try:
        found = subprocess.run(podman("image", "exists", IMAGE), capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        found = False
    assert found, "There is no image to test: run `make image`, which builds it first."
    return IMAGE


@pytest.fixture(scope="session")
def services() -> Iterator[LocalServices]:
    """They listen on 127.0.0.1, and the containers share the machine's network."""
    with LocalServices() as pair:
        yield pair
