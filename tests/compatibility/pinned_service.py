"""A service with an openai and a redis of its own beside the client: it submits, reads outcomes, and uses both.

Run by the interpreter of an environment that has no more than these three and what they require; prints the versions.
"""

import asyncio
import json
import os
from importlib.metadata import version

import openai
import redis.asyncio

from headrace import ChunkReader, Completed, GenerationClient, IdConflict, ResultReader

KAFKA, PREFIX = os.environ["KAFKA"], os.environ["PREFIX"]
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Write to Ada."}], "max_tokens": 60}


async def own_use(outcome: Completed) -> None:
    """The service goes on calling OpenAI and keeping things in its Redis, as before."""
    sdk = openai.AsyncOpenAI(base_url=os.environ["UPSTREAM"], api_key="sk-own", max_retries=0)
    said = await sdk.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello."}])
    assert said.choices[0].message.content
    async with redis.asyncio.Redis.from_url(os.environ["REDIS"]) as store:
        await store.set(f"{PREFIX}:own", outcome.id, ex=60)
        assert await store.get(f"{PREFIX}:own") == outcome.id.encode()


async def main() -> None:
    """Submit whole and streamed requests, wait, meet a conflict, cancel, and read everything back by a group."""
    async with GenerationClient(KAFKA, topic_prefix=PREFIX) as generations:
        done = await generations.generate(BODY, lane="urgent", id="lead-1", tenant="acme", metadata={"lead": 1})
        assert done.metadata == {"lead": 1}
        again = await generations.generate(BODY, lane="urgent", id="lead-1", tenant="acme")
        assert again == done  # the stored outcome, and no second call
        try:
            await generations.generate({**BODY, "max_tokens": 61}, lane="urgent", id="lead-1", tenant="acme")
        except IdConflict:
            pass
        else:
            raise AssertionError("another body with the same id was accepted")
        async with ChunkReader(KAFKA, topic_prefix=PREFIX, ids=["lead-2"]) as chunks:
            await generations.submit(BODY, lane="urgent", id="lead-2", tenant="acme", stream=True)
            shown = "".join([told.text async for told in chunks.follow("lead-2")])
        cancelled = await generations.cancel("lead-3", tenant="acme")
        assert cancelled.topic == f"{PREFIX}.control"
    async with ResultReader(KAFKA, group="service", topic_prefix=PREFIX) as results:
        texts = {}
        async for outcome in results:
            if isinstance(outcome, Completed):  # the conflict above is a Failed
                texts[outcome.id] = outcome.response["choices"][0]["message"]["content"]
            if texts.keys() == {"lead-1", "lead-2"}:  # of two partitions, in any order
                break
    assert texts["lead-2"] == shown
    await own_use(done)
    print(json.dumps({name: version(name) for name in ("aiokafka", "cramjam", "openai", "pydantic", "redis")}))


asyncio.run(main())
