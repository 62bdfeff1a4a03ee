"""The sync client and the sync reader on a real Kafka, in processes that fork after the client was used.

`make compatibility` has the same under gunicorn and Celery, whose workers are recycled and killed meanwhile.
"""

import asyncio
import os
import sys
from pathlib import Path

from headrace.broker.local.services import LocalServices
from tests.compatibility.test_workers import answering, each_once

ROOT = Path(__file__).parents[2]
WORKERS, EACH = 2, 10
ASKING = f"""
import os, sys
from headrace import SyncGenerationClient

generations = SyncGenerationClient(sys.argv[1], topic_prefix=sys.argv[2])

def ask(request_id):
    body = {{"model": "gpt-4o-mini", "messages": [{{"role": "user", "content": f"Write to {{request_id}}."}}]}}
    assert generations.generate(body, lane="urgent", id=request_id, timeout_s=60).text

ask("before-the-fork")
children = []
for worker in range({WORKERS}):
    if not (child := os.fork()):
        for number in range({EACH}):
            ask(f"fork-{{worker * {EACH} + number}}")
        sys.exit()
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * {WORKERS}
ask("before-the-end")
"""


async def test_workers_that_fork_from_a_used_client_lose_and_double_nothing(
    services: LocalServices, tmp_path: Path
) -> None:
    async with answering(services, "sync-forks", tmp_path) as (fleet, upstream):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            ASKING,
            services.endpoints.bootstrap_servers,
            fleet.prefix,
            cwd=ROOT,
            env=os.environ,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(child.communicate(), 60)
        assert child.returncode == 0, said.decode()
        await each_once(fleet, upstream, WORKERS * EACH, "fork")
