// A producer: puts requests on a lane. node producer.mjs ID… [--lane urgent]
import { parseArgs } from "node:util";
import kafkajs from "kafkajs";
import { request } from "./schemas.mjs";

const { Kafka, logLevel } = kafkajs;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { lane: { type: "string", default: "standard" }, tenant: { type: "string", default: "acme" } },
});
const brokers = (process.env.HEADRACE_KAFKA__BOOTSTRAP_SERVERS ?? "localhost:9092").split(",");
const prefix = process.env.HEADRACE_KAFKA__TOPIC_PREFIX ?? "generation";
const kafka = new Kafka({ clientId: "lead-ingest", brokers, logLevel: logLevel.ERROR });

// Idempotent, and acknowledged by all in-sync replicas. If a send fails, send the same id again.
const producer = kafka.producer({ idempotent: true, allowAutoTopicCreation: false });
await producer.connect();
try {
  const messages = positionals.map((id) => {
    const body = { model: "gpt-4o-mini", messages: [{ role: "user", content: `Write a first e-mail for ${id}.` }] };
    const value = request({ id, body, tenant: values.tenant, metadata: { from: "node" } });
    return { key: values.tenant, value: JSON.stringify(value) };
  });
  const placed = await producer.send({ topic: `${prefix}.requests.${values.lane}`, acks: -1, messages });
  for (const { topicName, partition } of placed) console.log(`${messages.length} submitted: ${topicName}/${partition}`);
} finally {
  await producer.disconnect();
}
