"""LangChain and instructor on a gateway: run by `tests/gateway_sdks` in an environment of its own."""

import asyncio
import os

import instructor
import openai
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

MODEL = "gpt-4o-mini"
PLACE = {"base_url": os.environ["GATEWAY_URL"], "api_key": os.environ["GATEWAY_KEY"]}


class Lead(BaseModel):
    """A lead."""

    company: str
    employees: int


LEAD = Lead(company="Grüße 世界", employees=7)


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"Sun in {city}"


async def langchain():
    model = ChatOpenAI(model=MODEL, max_retries=6, **PLACE)
    said = model.invoke("Write to Ada.")
    assert said.content
    assert said.usage_metadata["total_tokens"] > 0
    assert "".join(str(chunk.content) for chunk in model.stream("Write to Ada."))
    assert [chunk async for chunk in model.astream("Write to Ada.")]
    with_tool = model.bind_tools([get_weather])
    [call] = (await with_tool.ainvoke("How is the weather?")).tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Grüße 世界"})
    streamed = None
    for chunk in with_tool.stream("How is the weather?"):
        streamed = chunk if streamed is None else streamed + chunk
    assert streamed.tool_calls[0]["args"] == call["args"]
    assert model.with_structured_output(Lead).invoke("Which lead?") == LEAD
    assert model.with_structured_output(Lead, method="function_calling").invoke("Which lead?") == LEAD
    responses = ChatOpenAI(model=MODEL, use_responses_api=True, **PLACE)
    assert responses.invoke("Write to Ada.").content
    assert [chunk for chunk in responses.stream("Write to Ada.")]  # noqa: C416 — read to its end
    assert len(await asyncio.to_thread(model.batch, ["One.", "Two.", "Three."])) == 3
    hasty = ChatOpenAI(model=MODEL, timeout=1.0, max_retries=6, **PLACE)
    assert hasty.invoke("[after 2.5] [call langchain]").content
    # Otherwise it asks tiktoken for tokens, which loads its tables from the internet.
    vectors = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False, **PLACE)
    assert [len(each) for each in vectors.embed_documents(["a", "b"])] == [1536, 1536]


async def structured():
    client = instructor.from_openai(openai.OpenAI(**PLACE))
    ask = {"model": MODEL, "messages": [{"role": "user", "content": "Which lead?"}]}
    found = [client.chat.completions.create(response_model=Lead, **ask)]
    found += list(client.chat.completions.create_partial(response_model=Lead, **ask))[-1:]
    for mode in (instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS):
        other = instructor.from_openai(openai.AsyncOpenAI(**PLACE), mode=mode)
        found.append(await other.chat.completions.create(response_model=Lead, **ask))
    assert [each.model_dump() for each in found] == [LEAD.model_dump()] * 4  # each holds its raw answer besides


asyncio.run(langchain())
asyncio.run(structured())
