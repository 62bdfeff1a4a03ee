"""The newest Kafka that is served, in place of the one that `headrace local` ships."""

from pathlib import Path

from headrace.broker.local.errors import LocalServicesError
from headrace.broker.local.jars import parse_lock
from headrace.broker.local.services import LocalServices
from tests.compatibility.asking import answered, dispatching
from tests.compatibility.kafka_lock import KAFKA_LOCK, locked_version
from tests.compatibility.machine import unavailable
from tests.integration.fleet import producing, request, send


async def test_a_leader_that_is_killed_costs_no_outcome_and_doubles_none(tmp_path: Path) -> None:
    newest = LocalServices(jars=parse_lock(KAFKA_LOCK.read_text(encoding="utf-8")))
    ids = {f"lead-{number}" for number in range(8)}
    try:
        async with (
            newest,
            dispatching(newest, "newest", tmp_path, latency_s=1.0) as fleet,
            producing(fleet) as producer,
        ):
            log = (newest.data_dir / "logs" / "kafka-1.log").read_text(encoding="utf-8")
            assert f"Kafka version: {locked_version()}" in log
            await fleet.start()
            leader = await fleet.leader()
            await fleet.start()
            await fleet.standby()
            await send(producer, fleet, "standard", [request(each) for each in sorted(ids)])
            await fleet.inflight(leader, 1)
            await fleet.kill(leader)
            await answered(fleet, ids)
    except LocalServicesError as error:
        unavailable(str(error))
