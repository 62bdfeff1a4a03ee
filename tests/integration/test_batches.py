"""A batch through real gateways and dispatchers, one of each killed; `make gateway-batch` plays a larger one."""

from pathlib import Path

import pytest

from headrace.broker.local.services import LocalServices
from headrace.schemas.topics import TopicShape
from tests.gateway_batch.proof import prove
from tests.integration.fleet import FEW


@pytest.mark.timeout(120)
async def test_a_killed_gateway_and_a_killed_leader_lose_no_line_and_double_none(
    services: LocalServices, tmp_path: Path
) -> None:
    shapes = {**FEW, "calls": TopicShape(partitions=1), "batches": TopicShape(partitions=3)}
    report = await prove(services, tmp_path, lines=200, kills=1, holds=True, shapes=shapes)
    print(report)
    assert report.is_good, str(report)
    assert (report.gateways_killed, report.leaders_killed) == (1, 1)
