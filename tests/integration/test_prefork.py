"""What the other tests fork leaves nothing behind, even if their run is killed."""

import asyncio
import os
from select import POLLIN, poll

from tests.integration.prefork import Prefork

WITHIN_MS = 10_000


async def test_a_verb_ends_with_the_process_that_forked_it() -> None:
    """It would wait for Kafka for ever."""
    prefork = Prefork()
    nowhere = {
        "HEADRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "HEADRACE_DISPATCHER__HTTP_PORT": "0",
        "OPENAI_API_KEY": "sk-secret-of-the-tests",
    }
    verb = await prefork.run(["dispatcher"], os.environ | nowhere)
    async with asyncio.timeout(30):
        while b"waiting_for_kafka" not in await verb.stderr.readline():
            assert not verb.stderr.at_eof()
    ended = poll()
    ended.register(pid := os.pidfd_open(verb.pid), POLLIN)
    assert not ended.poll(0)
    verb.leave()
    await asyncio.to_thread(prefork.close)
    assert ended.poll(WITHIN_MS)
    os.close(pid)
    await asyncio.gather(verb.stdout.read(), verb.stderr.read())
