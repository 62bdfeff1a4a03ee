"""A producer: put one request on the urgent lane, and wait for what OpenAI writes."""

import asyncio
import os

from headrace import GenerationClient

KAFKA = os.environ.get("HEADRACE_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092")
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Write a first e-mail to the CFO of Acme."}]}


async def main() -> None:
    """Submit returns once Kafka has the request; generate would submit and wait in one call."""
    async with GenerationClient(KAFKA) as generations:
        receipt = await generations.submit(BODY, lane="urgent", tenant="acme", id="lead-9001-email")
        print("submitted:", receipt.topic, receipt.partition, receipt.offset)
        outcome = await generations.generate(BODY, lane="urgent", tenant="acme", id="lead-9001-email")
        print(outcome.response["choices"][0]["message"]["content"])


asyncio.run(main())
