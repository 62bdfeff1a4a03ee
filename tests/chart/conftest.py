"""The tools are fetched before the first test, outside of every test's own time."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chart import tools

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(60, func_only=True))  # helm 0.1 s, tsc 0.5 s a run, on a busy machine


@pytest.fixture(scope="session", autouse=True)
def _tools() -> None:
    tools.check()
    for version in tools.KUBERNETES:
        tools.schemas(version)
    tools.node()
