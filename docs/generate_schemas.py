"""Writes docs/reference/schemas.md from schemas/json: topics, records, and each field of them.

    python docs/generate_schemas.py

A field's meaning is its description in the schema, else its line below *Attributes* in the description of its record,
else the sentence here; a field without one is an error. A test compares the file with what this script would write.
"""
# ruff: noqa: INP001  # a script beside the pages it writes, imported by its test alone

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parent
SCHEMAS: Final = DOCS.parent / "schemas" / "json"
PAGE: Final = DOCS / "reference" / "schemas.md"

RECORDS: Final[Mapping[str, str]] = {
    "request": "A request",
    "completed": "A completed outcome",
    "failed": "A failed outcome",
    "chunk": "A chunk of a stream",
    "control": "A cancel",
    "retryable": "A parked request",
}
"""The records that a service may read or write, and the headings of their parts."""

SENTENCES: Final[Mapping[str, str]] = {
    "id": "The id of the request.",
    "run": "0, or the number of a replay.",
    "lane": "The lane that the request came from.",
    "tenant": "The tenant of the request.",
    "endpoint": "The endpoint of the request.",
    "model": "The model that answered, else the one asked for.",
    "usage": "Tokens billed, under the same names for all endpoints.",
    "attempts": "HTTP calls made.",
    "term": "The term of the leader that published it.",
    "metadata": "What the request carried, unchanged.",
    "timings": "When each step began, and how long waiting and calling took.",
    "error": "OpenAI's error object, if there was one.",
    "message": "One sentence for a person.",
    "completed.status": "Tells a Completed from a Failed.",
    "completed.response": "OpenAI's JSON, whole.",
    "completed.finish": "How the answer ended, as one word; null where that is not known, as for embeddings.",
    "failed.status": "Tells a Failed from a Completed.",
    "failed.reason": "Why, as one word. Treat an unknown one as a failure like the others.",
    "failed.submitted_id": "With `id_conflict`: the id that the request was sent with.",
    "chunk.seq": "The number of the chunk within (run, term, attempt), from 0.",
    "control.type": "What to do with the request.",
    "control.tenant": "Only a request of this tenant is cancelled; without it, one of any tenant.",
    "control.id": "The id of the request to cancel.",
    "retryable.kind": "Why it is parked. Treat an unknown one like the others.",
    "retryable.not_before": "When it goes back to its lane.",
    "retryable.lane": "The lane that it goes back to.",
    "retryable.key_base64": "The original record's key if it is no text.",
    "Timings.submitted_at": "Kafka's timestamp of the record.",
    "Timings.taken_at": "When the leader took it from its lane.",
    "Timings.called_at": "When its first call was made.",
    "Timings.finished_at": "When the last answer had arrived.",
    "Timings.queue_ms": "From taken to the first call.",
    "Timings.upstream_ms": "From the first call to the last answer, with the waits between several calls.",
    "Usage.input_tokens": "Input, cached or not.",
    "Usage.output_tokens": "Output, reasoning included.",
    "Usage.total_tokens": "Both.",
    "Usage.cached_tokens": "Part of the input that was read from OpenAI's prompt cache.",
    "Usage.reasoning_tokens": "Part of the output that reasoning took.",
    "Usage.cache_write_tokens": "Part of the input that was written to the prompt cache; some models bill it above the "
    "rest.",
    "Usage.image_tokens": "Part of the input that images took, where the answer counts it apart.",
    "Cost.micro_usd": "Millionths of a US dollar, with up to six decimals; null if there is no price for it.",
    "Cost.price_list": "The list of prices and its version.",
    "Cost.band": "Such as `>272000` where long inputs have prices of their own and this input was longer; else empty.",
    "Cost.note": "Why there is no price, or what to know of this one.",
    "OriginalHeader.name": "Its name.",
    "OriginalHeader.value": "Its bytes, as base64.",
}

HEAD: Final = """# Records on the wire

<!-- Written by docs/generate_schemas.py from schemas/json. Change those, or it, and run `make reference`. -->

The value of each record is JSON. Its shape is a JSON Schema in `schemas/json/`, which `headrace schemas export
DIR` writes too, beside [asyncapi.json](../../schemas/json/asyncapi.json), an AsyncAPI document that names the
topic of each. Keys and headers are in [the wire](../design/wire.md).

Fields are added, and none is removed, renamed, retyped or newly required: keep the ones that you do not know.

## Topics

With the default settings, on three nodes:

| topic | records | partitions | copies | kept |
|---|---|---|---|---|
"""
LEDGER: Final = """
## The ledger

The ledger is the leader's own: no service reads or writes it. Its shape,
[ledger.json](../../schemas/json/ledger.json), helps to look for a fault. What it holds is in
[identity](../design/identity.md) and [protocol](../design/protocol.md).

## Totals

A record of the totals states what one leader has summed up in one hour for one lane, model, tenant, template and
tier. [Totals](../design/totals.md) says how the records of a key add up. Their shape is in
[total.json](../../schemas/json/total.json).

## Dead letters

A dead letter has the key, value and headers of its original, and further headers that say why it is there:
[dead letters](../consumers.md#dead-letters). Hence it has no schema.
"""


def page() -> str:
    """The whole page."""
    documents = {name: _read(name) for name in RECORDS}
    told = [HEAD, *_topics(_read("asyncapi"))]
    told += [_record(name, heading, documents[name]) for name, heading in RECORDS.items()]
    told += _parts(documents)
    return "".join([*told, LEDGER])


def _read(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))


def _topics(document: Any) -> Iterator[str]:
    for channel in document["channels"].values():
        kafka = channel["bindings"]["kafka"]
        kept_s = kafka["topicConfiguration"]["retention.ms"] // 1_000
        records = ", ".join(_linked(name) for name in channel["messages"])
        cells = (f"`{channel['address']}`", records, kafka["partitions"], kafka["replicas"], _span(kept_s))
        yield f"| {' | '.join(map(str, cells))} |\n"


def _linked(name: str) -> str:
    heading = RECORDS.get(
        name, {"ledger": "The ledger", "total": "Totals", "dead-letter": "Dead letters"}.get(name, "")
    )
    return f"[{name}](#{_anchor(heading)})"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _span(seconds: int) -> str:
    days, hours = seconds // 86_400, seconds // 3_600
    if days:
        return f"{days} days" if days > 1 else "a day"
    return f"{hours} hours" if hours > 1 else "an hour"


def _record(name: str, heading: str, document: Any) -> str:
    first = re.split(r"\n\s*(?:\n|Attributes:)", document["description"])[0]
    return f"\n## {heading}\n\n{_flat(first)} Schema: {_schema(name)}.\n" + _fields(name, document)


def _schema(name: str) -> str:
    return f"[{name}.json](../../schemas/json/{name}.json)"


def _parts(documents: Mapping[str, Any]) -> Iterator[str]:
    """The shapes that records share, and the words of closed and open lists."""
    parts = {name: part for document in documents.values() for name, part in document.get("$defs", {}).items()}
    yield "\n## Parts of records\n"
    for name, part in sorted(parts.items()):
        yield f"\n### {name}\n\n{_flat(part['description'])}\n"
        if "enum" in part:
            yield f"\nOne of {', '.join(f'`{word}`' for word in part['enum'])}.\n"
        else:
            yield _fields(name, part)


def _fields(owner: str, document: Any) -> str:
    attributes = _attributes(document.get("description", ""))
    rows = ["\n| field | type | default | meaning |\n|---|---|---|---|\n"]
    for name, field in document["properties"].items():
        default = "required" if name in document.get("required", ()) else _default(field)
        meaning = (
            field.get("description") or attributes.get(name) or SENTENCES.get(f"{owner}.{name}") or SENTENCES[name]
        )
        rows.append(f"| `{name}` | {_type(field)} | {default} | {_flat(meaning)} |\n")
    return "".join(rows)


def _attributes(description: str) -> dict[str, str]:
    """The lines below *Attributes* of a description, by field."""
    _, _, lines = description.partition("Attributes:\n")
    found = re.findall(r"^    (\w+(?:, \w+)*): (.+(?:\n     +.+)*)", lines, re.MULTILINE)
    return {name: meaning for names, meaning in found for name in names.split(", ")}


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if "default" not in field:
        return "empty" if field.get("type") in {"object", "array"} else ""
    return f"`{json.dumps(value)}`"


def _type(field: Mapping[str, Any]) -> str:
    if alternatives := field.get("anyOf"):
        kinds = list(dict.fromkeys(_type(each) for each in alternatives))
        closed = [each for each in kinds if each not in {"null", "text"} or len(kinds) < 3]
        return " or ".join([*[each for each in closed if each != "null"], *(["null"] if "null" in kinds else [])])
    if reference := field.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if words := [field["const"]] if "const" in field else field.get("enum"):
        return ", ".join(f"`{word}`" for word in words)
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return {
        "string": _text(field),
        "integer": "whole number",
        "number": "number",
        "object": "object",
        "boolean": "true or false",
        "null": "null",
    }.get(field.get("type", ""), "any value")


def _text(field: Mapping[str, Any]) -> str:
    if field.get("format") == "date-time":
        return "time"
    return f"text, at most {field['maxLength']} characters" if "maxLength" in field else "text"


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
