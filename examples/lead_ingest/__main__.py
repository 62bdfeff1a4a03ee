"""python -m lead_ingest leads.csv [--store leads.db] [--kafka localhost:9092] [--follow].

Takes the leads in, asks for an e-mail to each, and writes down what comes back. Start it again at any time: what is
known is not asked for twice. Needs a dispatcher, and the topic `lead-ingest.dead-letters`, made if it is missing.
"""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from headrace import HeadraceError, KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.schemas.topics import TopicSpec
from lead_ingest.leads import BadLeads, read_leads
from lead_ingest.service import DEAD_LETTERS, LeadIngest
from lead_ingest.store import Store


async def main(asked: argparse.Namespace) -> int:
    """Run the service; exit 0: every lead is written to; 1: some are not; 2 and 3 as of `headrace`."""
    connection = KafkaConnection(asked.kafka)
    try:
        await create_missing(connection, [TopicSpec(DEAD_LETTERS, 1, 1, {})])
        with Store(asked.store) as store:
            service = LeadIngest(store, connection, topic_prefix=asked.topic_prefix)
            new = service.add(read_leads(asked.leads))
            print(f"{new} new leads, {sum(store.counts().values())} in all")
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, service.stop)
            await service.run(until_done=not asked.follow)
            counts = store.counts()
            print(", ".join(f"{counts[state]} {state}" for state in ("written", "failed", "asked", "new")))
            for lead_id, reason, message in store.failures():
                print(f"lead {lead_id} failed ({reason}): {message}", file=sys.stderr)
            return 0 if counts.total() == counts["written"] else 1
    except (BadLeads, OSError) as reason:
        print(reason, file=sys.stderr)
        return 2
    except HeadraceError as reason:
        print(reason, file=sys.stderr)
        return reason.exit_code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m lead_ingest", description=__doc__.split("\n\n")[1])
    parser.add_argument("leads", type=Path)
    parser.add_argument("--store", type=Path, default=Path("leads.db"))
    parser.add_argument("--kafka", default=os.environ.get("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092"))
    parser.add_argument("--topic-prefix", default=os.environ.get("HEADRACE_KAFKA__TOPIC_PREFIX", "generation"))
    parser.add_argument("--follow", action="store_true", help="keep running when every lead has its outcome")
    sys.exit(asyncio.run(main(parser.parse_args())))
