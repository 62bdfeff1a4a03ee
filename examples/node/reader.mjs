// A reader: acts on outcomes, at least once. node reader.mjs [--group NAME] [--count N]
import { parseArgs } from "node:util";
import kafkajs from "kafkajs";
import { outcome } from "./schemas.mjs";

const { Kafka, logLevel } = kafkajs;
const { values } = parseArgs({
  options: { group: { type: "string", default: "lead-mailer" }, count: { type: "string", default: "0" } },
});
const brokers = (process.env.HEADRACE_KAFKA__BOOTSTRAP_SERVERS ?? "localhost:9092").split(",");
const prefix = process.env.HEADRACE_KAFKA__TOPIC_PREFIX ?? "generation";
const kafka = new Kafka({ clientId: "lead-mailer", brokers, logLevel: logLevel.ERROR });

// Committed outcomes only: readUncommitted would show outcomes that never happened.
const consumer = kafka.consumer({ groupId: values.group, readUncommitted: false, allowAutoTopicCreation: false });
const left = { count: Number(values.count) || Infinity };
const seen = new Set(); // a committed reader gets each (id, run) once; after a restart the last ones come again
const { promise: done, resolve } = Promise.withResolvers?.() ?? deferred();

await consumer.connect();
await consumer.subscribe({ topic: `${prefix}.results`, fromBeginning: true });
await consumer.run({
  autoCommitInterval: 1000,
  eachMessage: async ({ message }) => {
    const found = outcome(JSON.parse(message.value.toString()));
    const identity = `${found.id}#${found.run ?? 0}`;
    if (seen.has(identity)) return;
    seen.add(identity);
    const text = found.status === "completed" ? found.response.choices?.[0].message.content : found.reason;
    console.log(JSON.stringify({ id: found.id, status: found.status, text }));
    if (--left.count === 0) resolve();
  },
});
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, resolve);
await done;
await consumer.disconnect(); // commits the outcomes that were handled

function deferred() {
  const parts = {};
  parts.promise = new Promise((fulfil) => (parts.resolve = fulfil));
  return parts;
}
