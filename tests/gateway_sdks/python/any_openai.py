"""A version of OpenAI's Python SDK on a gateway: run by `tests/gateway_sdks` in an environment of its own."""

import os

import openai

MODEL = "gpt-4o-mini"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def asked(text="Write to Ada."):
    return [{"role": "user", "content": text}]


def main():
    version = openai.__version__.partition(".")[0]
    client = openai.OpenAI(base_url=os.environ["GATEWAY_URL"], api_key=os.environ["GATEWAY_KEY"], max_retries=6)
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=asked())
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-headrace-id"].startswith("call-")
    assert raw.parse().choices[0].message.content

    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=asked(), stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    assert chunks[-1].usage.total_tokens > 0
    called = client.chat.completions.create(model=MODEL, messages=asked(), tools=[TOOL])
    assert called.choices[0].message.tool_calls[0].function.name == "get_weather"
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert [len(each.embedding) for each in vectors.data] == [1536, 1536]
    assert client.models.retrieve(MODEL).id == MODEL
    events = list(client.responses.create(model=MODEL, input="Write to Ada.", stream=True))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text

    hasty = client.with_options(timeout=1.0)
    late = hasty.chat.completions.create(model=MODEL, messages=asked(f"[after 2.5] [call python-{version}]"))
    assert late.choices[0].message.content
    for error, wrong in ((openai.AuthenticationError, {"api_key": "sk-wrong"}), (openai.BadRequestError, {})):
        assert refused(client.with_options(**wrong), error)["message"]


def refused(client, error):
    try:
        client.chat.completions.create(model=MODEL, messages=[])
    except error as caught:
        return caught.body
    raise AssertionError(error)


main()
