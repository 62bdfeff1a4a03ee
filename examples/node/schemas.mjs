// The schemas that `headrace schemas export` writes, as functions that check a value.
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const directory = process.env.HEADRACE_SCHEMAS ?? new URL("../../schemas/json", import.meta.url).pathname;
const ajv = new Ajv2020({ strict: false });
addFormats.default(ajv);

const compiled = (name) => ajv.compile(JSON.parse(readFileSync(`${directory}/${name}.json`, "utf8")));

function checked(name) {
  const validate = compiled(name);
  return (value) => {
    if (!validate(value)) throw new Error(`no ${name}: ${ajv.errorsText(validate.errors)}`);
    return value;
  };
}

export const request = checked("request");
const outcomes = { completed: checked("completed"), failed: checked("failed") };
export const outcome = (value) => (outcomes[value.status] ?? outcomes.failed)(value);
