"""What several files of tests of batches need."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.gateway.batches.world import Replica, unled


@pytest.fixture
async def alone() -> AsyncIterator[Replica]:
    """A replica without a dispatcher behind it, for what is refused."""
    async with unled() as there, there.replica() as replica:
        yield replica
