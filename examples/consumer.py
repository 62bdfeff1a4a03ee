"""A consumer: act on every outcome, each once, wherever the reading stopped last time."""

import asyncio
import os

from headrace import Completed, ResultReader

KAFKA = os.environ.get("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092")


async def main() -> None:
    """Asking for the next outcome says that the one before is handled."""
    async with ResultReader(KAFKA, group="lead-mailer") as results:
        async for outcome in results:
            if isinstance(outcome, Completed):
                print(outcome.id, outcome.response["choices"][0]["message"]["content"])
            else:
                print(outcome.id, "failed:", outcome.reason, outcome.message)


asyncio.run(main())
