"""python -m cron_job submit leads.csv, python -m cron_job collect: [--store leads.db] [--kafka localhost:9092].

Meant for cron: prints only what a person should read, exits by itself, and may run again at any time.
"""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from cron_job.jobs import collect, read_leads, submit
from cron_job.store import Store
from headrace import HeadraceError, KafkaConnection


async def main(asked: argparse.Namespace) -> int:
    """Run one job; exit 0: done; 1: a request failed; 2 and 3 as of `headrace`, of which 3 passes by itself."""
    connection = KafkaConnection(asked.kafka)
    try:
        with Store(asked.store) as store:
            if asked.job == "submit":
                await submit(store, read_leads(asked.leads), connection, topic_prefix=asked.topic_prefix)
                return 0
            result = await collect(store, connection, topic_prefix=asked.topic_prefix)
            for lead_id, reason in result.failures:
                print(f"lead {lead_id} failed: {reason}", file=sys.stderr)
            return 1 if result.failures else 0
    except (OSError, KeyError) as reason:
        print(f"{type(reason).__name__}: {reason}", file=sys.stderr)
        return 2
    except HeadraceError as reason:
        print(reason, file=sys.stderr)
        return reason.exit_code


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells what passes by itself; the rest is raised
    parser = argparse.ArgumentParser(prog="python -m cron_job", description=__doc__.split("\n\n")[1])
    jobs = parser.add_subparsers(dest="job", required=True)
    jobs.add_parser("submit", help="request an e-mail for each new lead").add_argument("leads", type=Path)
    jobs.add_parser("collect", help="store the outcomes that have come")
    for job in jobs.choices.values():
        job.add_argument("--store", type=Path, default=Path("leads.db"))
        job.add_argument("--kafka", default=os.environ.get("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092"))
        job.add_argument("--topic-prefix", default=os.environ.get("HEADRACE_KAFKA__TOPIC_PREFIX", "generation"))
    sys.exit(asyncio.run(main(parser.parse_args())))
