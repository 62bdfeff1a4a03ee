// A version of OpenAI's Node SDK on a gateway: `node any_openai.mjs PACKAGE`, where PACKAGE is a name of package.json.
import assert from "node:assert/strict";

const name = process.argv[2];
const { default: OpenAI } = await import(name);
const model = "gpt-4o-mini";
const messages = [{ role: "user", content: "Write to Ada." }];
const place = { baseURL: process.env.GATEWAY_URL, apiKey: process.env.GATEWAY_KEY };
const client = new OpenAI({ ...place, maxRetries: 6 });

const { data, response, request_id } = await client.chat.completions.create({ model, messages }).withResponse();
assert(data.choices[0].message.content);
assert(response.headers.get("x-headrace-id").startsWith("call-"));
assert.equal(response.headers.get("x-headrace-lane"), "urgent");
assert(request_id.startsWith("req_"));

let text = "", usage = null;
for await (const chunk of await client.chat.completions.create({
  model, messages, stream: true, stream_options: { include_usage: true },
})) {
  text += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
assert(text);
assert(usage.total_tokens > 0);

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
const called = await client.chat.completions.create({ model, messages, tools });
assert.equal(called.choices[0].message.tool_calls[0].function.name, "get_weather");
const streams = client.chat.completions.stream ?? client.beta.chat.completions.stream;
const streamed = await streams.call(client.chat.completions.stream ? client.chat.completions : client.beta.chat.completions,
  { model, messages, tools, parallel_tool_calls: true }).finalChatCompletion();
assert.deepEqual(streamed.choices[0].message.tool_calls.map((each) => each.id), ["call_0", "call_1"]);
assert.deepEqual(JSON.parse(streamed.choices[0].message.tool_calls[1].function.arguments), { city: "Grüße 世界" });

const whole = await client.responses.create({ model, input: "Write to Ada." });
assert(whole.output_text);
const kinds = [], numbers = [];
for await (const event of await client.responses.create({ model, input: "Write to Ada.", stream: true })) {
  kinds.push(event.type);
  numbers.push(event.sequence_number);
}
assert.equal(kinds[0], "response.created");
assert.equal(kinds.at(-1), "response.completed");
assert.deepEqual(numbers, numbers.map((_, place) => place));

const vectors = await client.embeddings.create({ model: "text-embedding-3-small", input: ["a", "b"] });
assert.deepEqual(vectors.data.map((each) => each.embedding.length), [1536, 1536]);
assert.equal(typeof vectors.data[0].embedding[0], "number");
assert.equal((await client.models.retrieve(model)).id, model);
assert((await client.models.list()).data.some((each) => each.id === model));

if (name === "openai") {
  const { z } = await import("zod");
  const { zodResponseFormat, zodTextFormat } = await import("openai/helpers/zod");
  const Lead = z.object({ company: z.string(), employees: z.number().int() });
  const lead = { company: "Grüße 世界", employees: 7 };
  const parsed = await client.chat.completions.parse({ model, messages, response_format: zodResponseFormat(Lead, "lead") });
  assert.deepEqual(parsed.choices[0].message.parsed, lead);
  const other = await client.responses.parse({ model, input: "Which lead?", text: { format: zodTextFormat(Lead, "lead") } });
  assert.deepEqual(other.output_parsed, lead);
}

const hasty = new OpenAI({ ...place, timeout: 1000, maxRetries: 6 });
const late = await hasty.chat.completions.create({
  model, messages: [{ role: "user", content: `[after 2.5] [call node-${name}]` }],
});
assert(late.choices[0].message.content);

const wrong = new OpenAI({ ...place, apiKey: "sk-wrong" });
await assert.rejects(wrong.models.list(), OpenAI.AuthenticationError);
await assert.rejects(client.chat.completions.create({ model, messages: [] }), (error) => {
  assert(error instanceof OpenAI.BadRequestError);
  assert.equal(error.param, "messages");
  return true;
});
await assert.rejects(client.images.generate({ prompt: "a lake" }), OpenAI.NotFoundError);
const capped = new OpenAI({ ...place, apiKey: process.env.CAPPED_KEY, maxRetries: 0 });
await assert.rejects(
  (async () => { for (let number = 0; number < 2; number += 1) await capped.chat.completions.create({ model, messages }); })(),
  (error) => error instanceof OpenAI.RateLimitError && Number(new Headers(error.headers).get("retry-after")) >= 1,
);
