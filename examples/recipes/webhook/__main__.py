"""python -m webhook endpoints.toml [--kafka localhost:9092] [--topic-prefix generation] [--again-every 300].

Delivers every outcome to the webhook of its tenant, until SIGTERM. Start several for more throughput. Needs aiohttp,
and the topic `webhook.dead-letters`, made if it is missing.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from headrace import HeadraceError, KafkaConnection
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.schemas.topics import TopicSpec
from webhook.endpoints import BadEndpoints, read_endpoints
from webhook.http_post import HttpPost
from webhook.service import DEAD_LETTERS, Rules, Webhooks


async def main(asked: argparse.Namespace) -> int:
    """Run the process; exit 0: stopped; 2 and 3 as of `headrace`."""
    connection = KafkaConnection(asked.kafka)
    try:
        endpoints = read_endpoints(asked.endpoints)
        await create_missing(connection, [TopicSpec(DEAD_LETTERS, 6, 1, {})])
        async with HttpPost() as post:
            rules = Rules(again_every_s=asked.again_every)
            webhooks = Webhooks(connection, endpoints, post, topic_prefix=asked.topic_prefix, rules=rules)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, webhooks.stop)
            await webhooks.run()
            return 0
    except (BadEndpoints, OSError) as reason:
        print(reason, file=sys.stderr)
        return 2
    except HeadraceError as reason:
        print(reason, file=sys.stderr)
        return reason.exit_code


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    parser = argparse.ArgumentParser(prog="python -m webhook", description=__doc__.split("\n\n")[1])
    parser.add_argument("endpoints", type=Path)
    parser.add_argument("--kafka", default=os.environ.get("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092"))
    parser.add_argument("--topic-prefix", default=os.environ.get("HEADRACE_KAFKA__TOPIC_PREFIX", "generation"))
    parser.add_argument(
        "--again-every", type=float, default=300.0, help="seconds between rounds over what was put aside"
    )
    sys.exit(asyncio.run(main(parser.parse_args())))
