"""Outcomes published meanwhile: the results topic, read for the ids that are to be put back."""

from datetime import datetime

from headrace.broker.client_ports import ClientDoors
from headrace.consumers.replays.known import KnownRuns
from headrace.consumers.replays.pending_letters import CLOCKS_APART
from headrace.schemas.replay_codec import answer_in


async def read_answers(clients: ClientDoors, topic: str, known: KnownRuns, since: datetime) -> None:
    """Note in `known` every outcome that was published since then. Raises as `ScanLog.open` and `take`."""
    scan = clients.scan(topic, since=since - CLOCKS_APART)
    try:
        await scan.open()
        for partition in scan.partitions:
            while standings := await scan.take(partition):
                for standing in standings:
                    answer = answer_in(standing.record)
                    if answer is not None:
                        known.note(answer.request_id, answer.run, is_completed=answer.is_completed)
    finally:
        await scan.close()
