"""Chaos needs the real servers, like the integration tests, and is skipped where they cannot be had."""

import logging
import os
from pathlib import Path

import pytest

from headrace.broker.local.errors import LocalServicesError
from tests.integration.conftest import _forked as _forked  # noqa: PLC0414  `make chaos` starts its processes by themselves
from tests.linked_kafka import ensure_linked


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.services)


@pytest.fixture(autouse=True)
def _clients_are_quiet() -> None:
    """What our own reader and producers say while nodes die would fill pages; what they raise is in the report."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)


@pytest.fixture(scope="session")
def linked_kafka() -> None:
    """Link Kafka's classes, unless that was done before: it takes longer than a test without servers may."""
    try:
        ensure_linked()
    except LocalServicesError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
