// Says what the Prometheus operator's schemas have against each object of the JSON list on stdin, one fault a line behind
// the object's place in the list. Patterns, bounds and required fields; unknown fields are left to the types.
import { readFileSync } from "node:fs";
import { PodMonitor, PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const kinds = { PodMonitor, PrometheusRule };
for (const [place, object] of JSON.parse(readFileSync(0, "utf-8")).entries()) {
  try {
    new kinds[object.kind](object).validate();
  } catch (error) {
    console.log(`${place} ${error.message.replaceAll("\n", " ")}`);
  }
}
