// What AsyncAPI's own parser makes of a document: one JSON object; exit code 1 if it is none.
// node check.mjs DOCUMENT
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const WARNING = 1; // severities: 0 error, 1 warning, 2 information, 3 hint
const [source] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(readFileSync(source, "utf8"), { source });
const complaints = diagnostics
  .filter((each) => each.severity <= WARNING)
  .map((each) => `${each.path.join(".")}: ${each.message} (${each.code})`);
const channels = document?.channels().all() ?? [];
const carries = (channel) =>
  channel.messages().all().map((message) => ({ name: message.id(), fields: Object.keys(message.payload()?.json("properties") ?? {}) }));
console.log(JSON.stringify({
  complaints,
  version: document?.version(),
  channels: Object.fromEntries(channels.map((channel) => [channel.address(), carries(channel)])),
}));
process.exit(document === undefined ? 1 : 0);
