"""Writes docs/settings.md from the settings themselves, so that keys, defaults and bounds in it are always true.

    python docs/generate_settings.py

Only the sentence behind each key is written here, and a key without one is an error. A test compares the file with
what this script would write.
"""
# ruff: noqa: INP001  # a script beside the pages it writes, imported by its test alone

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin

from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from headrace.broker.settings.cautions import WITHOUT_EFFECT
from headrace.broker.settings.group import Group
from headrace.broker.settings.known import secret_keys
from headrace.broker.settings.lanes import LANE_DEFAULTS
from headrace.broker.settings.whole import Settings

PAGE: Final = Path(__file__).with_name("settings.md")
UNUSED: Final = "**Accepted, and without effect in this version.** "

SENTENCES: Final[Mapping[str, str]] = {
    "kafka.bootstrap_servers": "`host:port`, several separated by commas; in TOML also a list.",
    "kafka.topic_prefix": "Names the budget: prefix of its topics, transactional id, offsets group and lease key.",
    "kafka.security_protocol": "Protocol of the connection to the nodes.",
    "kafka.sasl_mechanism": "Required with SASL.",
    "kafka.username": "Required with SASL.",
    "kafka.password": "Required with SASL.",
    "kafka.ca_file": "File of the CA certificates that sign the nodes' certificates; default: the system's.",
    "redis.url": "`redis://`, `rediss://` or `unix://`. Treated as a secret as a whole, since it may hold a password.",
    "redis.key_prefix": "Prefix of the lease key's name.",
    "openai.api_key": "Falls back to `OPENAI_API_KEY`. The dispatcher does not start without a key.",
    "openai.base_url": "Falls back to `OPENAI_BASE_URL`; without either, OpenAI's own.",
    "openai.organization": "Falls back to `OPENAI_ORG_ID`.",
    "openai.project": "Falls back to `OPENAI_PROJECT_ID`.",
    "openai.timeout_s": "Time-out of one call.",
    "dispatcher.name": "A label that `/status` shows. It does not separate budgets.",
    "dispatcher.inflight_max": "Maximum number of calls in flight, all limits together.",
    "dispatcher.http_host": "Address of the live page, probes, metrics and status, which ask for no password "
    "unless `dispatcher.http_token` is set. The default admits this machine only; `0.0.0.0` "
    "admits probes and scrapes from elsewhere, as in "
    "the image, `compose.yaml` and the chart.",
    "dispatcher.http_port": "Port of these; 0 takes a free one, which the log line `listening` names.",
    "dispatcher.http_token": "Guards the live page, `/status` and what they load, of dispatchers and retriers: a "
    "browser asks for a user, which may be anything, and a password, which is the token; a "
    "script sends `Authorization: Bearer`. "
    "At least 16 characters. Probes and `/metrics` stay open.",
    "retrier.http_host": "Address of the retrier's probes, metrics and status.",
    "retrier.http_port": "Port of these; 0 takes a free one, which the log line `listening` names.",
    "retrier.held_bytes_max": "Memory for waiting requests; further ones are read again from Kafka when they are due.",
    "retrier.fresh_share": "Retries that a lane takes back, as a share of the fresh requests that arrive on it. 0: "
    "only `retrier.floor_per_s`.",
    "retrier.floor_per_s": "Retries per second that a lane takes back in addition, even without fresh requests. "
    "Requests due beyond both wait, ordered by due time. Keep it below a fifth of the "
    "lane's throughput.",
    "dispatcher.grace_s": "Time that the platform grants between SIGTERM and SIGKILL. The shutdown ladder ends "
    "before it.",
    "dispatcher.lease_ttl_s": "Lifetime of the lease; when a leader dies, a standby waits for its end. The other "
    "times of the election are fixed, and need 1.9 s of it: hence no less than 2.",
    "dispatcher.held_bytes_max": "Memory for answers. Each call reserves 64 KiB of it until its answer has arrived.",
    "dispatcher.transaction_timeout_s": "Time after which Kafka aborts a transaction that its leader left open.",
    "models.allow": "Models that a producer may ask for, as patterns; a request for another model is Failed with "
    "reason `rejected`. `*` lets each producer ask for the most expensive model: name those that "
    "you want to pay for.",
    "tools.allow": "Tools that let OpenAI reach other systems on a request's behalf, as patterns: `mcp` (a server "
    "that the producer names), `file_search` (the account's vector stores), `web_search*` (also a "
    "chat's `web_search_options`), `code_interpreter`, `shell` (in OpenAI's containers), `prompt` "
    "(a stored template, which may have tools), Azure's `data_sources`, and each type that this "
    "release does not know. Any other is Failed with reason `rejected`. Functions, custom tools and "
    "others that the producer runs itself need no permission.",
    "replies.allow": "Topics that a request may name in `reply_to`, by their exact names; one that names any other "
    "is Failed with reason `rejected`. Their owners create them, and the dispatcher needs WRITE "
    "on them.",
    "input.request_bytes_max": "Maximum length of a record's value. A longer one is Failed with reason "
    "`invalid_request`, or a dead letter alone if it has no id.",
    "input.nesting_max": "Maximum nesting depth of a value.",
    "input.values_max": "Maximum number of JSON values in a record, where a list or an object counts as 4. A "
    "record with more is treated like one that is too long.",
    "retry.in_place_max_s": "Longest wait inside the dispatcher. For a longer one the request is parked as a "
    "RetryableFailure, and `headrace retrier` puts it back on its lane when it is due.",
    "retry.attempts_max": "Failed attempts (5xx, overload, time-out, connection) after which a request is Failed "
    "with reason `exhausted`. 429s, refused service tiers and failures of the account do not count.",
    "dedupe.window_s": "Time for which an answered id is recognised.",
    "dedupe.ids_max": "Maximum number of remembered ids; beyond it the oldest answered one is forgotten.",
    "lanes.order": "Priority: 1 goes first. Each lane needs a different one.",
    "lanes.floor": "Minimum share of the admitted tokens while this lane has waiting requests.",
    "lanes.ceiling": "Maximum share of the admitted tokens while other lanes have waiting requests. Alone it may "
    "take all.",
    "lanes.lift": "Tokens that requests of this lane with near deadlines may take, as a share of what the lanes "
    "above are served; they go in the turn of the lane directly above. 0: none.",
    "lanes.reserve": "Part of every bucket that the later lanes leave for this lane while it has no waiting requests.",
    "lanes.serial": "One request at a time per ordering key, to its end. Requests are not parked: retries wait in "
    "the dispatcher.",
    "lanes.deadline_s": "Deadline of requests without their own, counted from their Kafka timestamp.",
    "lanes.deadline_max_s": "Longest deadline; a later one is shortened to it. Default: a day less than "
    "`topics.requests.retention_s`.",
    "lanes.objective_s": "Time from submission to outcome that you promise for this lane: it is measured and alerted "
    "on, and decides nothing about requests. A lane without it has no such alerts.",
    "lanes.buffer_max": "Maximum number of this lane's requests in memory.",
    "lanes.buffer_bytes_max": "The same in bytes of the requests' values.",
    "limits.models": "Models that draw from this limit, as patterns. Default: the limit's name and its dated "
    "snapshots (`<name>-20*`).",
    "limits.tokens_per_minute": "Assumed until the first answer states another value.",
    "limits.requests_per_minute": "Assumed until the first answer states another value.",
    "limits.tokens_per_day": "Assumed limit on tokens per day. It is enforced together with the one per minute; no "
    "header states it, only a refusal does.",
    "limits.requests_per_day": "The same for requests. A header that states another limit per day takes precedence.",
    "limits.cap_tokens_per_minute": "Own cap on the tokens of any 60 seconds, never exceeded as far as "
    "bodies show, whatever headers say.",
    "limits.burst_s": "Burst bound: seconds of quota that may be spent at once. Default: as much as the server "
    "accepts, learned within seconds.",
    "limits.inflight_max": "Maximum number of calls in flight for this limit.",
    "tenants.weight": "Its weight in the share of tokens among the tenants that wait in a lane.",
    "tenants.cap_tokens_per_minute": "Maximum number of tokens in any 60 seconds, all lanes and limits together; a "
    "larger request goes alone.",
    "tenants.inflight_max": "Maximum number of calls in flight, all lanes and limits together.",
    "limits.charge_law": "Charge law that prices a call. `auto` identifies it from answers; a name fixes it, "
    "whatever answers say. `usage` charges the input at admission and the output when the "
    "call ends.",
    "limits.long_context_tokens": "Tokens of input beyond which a request draws from a limit of its own, named "
    "`<limit>:long-context`, which may have a table of settings as well. Without one it has a cap and bounds like this "
    "one's: each of the two may spend as much. Unset: at OpenAI's own servers, and without `cap_tokens_per_minute` and "
    "`inflight_max`, as OpenAI documents it: 128,000 for `gpt-4.1` and its smaller models, 272,000 for `gpt-5.4` and "
    "`gpt-5.5`; elsewhere never. 0: never.",
    "topics.partitions": "Number of partitions at creation. If you add partitions later, raise it here: Kafka "
    "cannot remove any. The progress of all lanes' partitions must fit one commit of 1 MiB: "
    "with three lanes some 1,900 each.",
    "topics.retention_s": "Time for which records are kept. For `requests` and `failures` at least a day longer "
    "than the longest deadline of a lane, for `results` at least `dedupe.window_s`, for "
    "`ledger` twice that and at least a day, for `totals` at least two days.",
    "topics.max_message_bytes": "Largest batch that the topic accepts. Minimum: 748 KiB for `ledger` (a full line, "
    "more with many lanes), 32 KiB for `results` and `totals`, 80 KiB for `failures`, "
    "`dead_letters` and `batches`, 65 KiB for `chunks`, 16 KiB for `control` and `calls`; for `requests` 32 KiB "
    "more than `input.request_bytes_max`.",
    "gateway.enabled": "Whether gateways run beside these dispatchers: `headrace topics create` then creates their "
    "topics `calls` and `batches` too, and `headrace gateway` starts.",
    "gateway.http_host": "Address of the gateway. The default admits this machine only; `0.0.0.0` admits clients from "
    "elsewhere.",
    "gateway.http_port": "Its port; 0 takes a free one, which the log line `listening` names.",
    "gateway.metrics_host": "Address of its probes, metrics and status, which no client needs to reach: the "
    "default admits this machine only.",
    "gateway.metrics_port": "Their port; 0 takes a free one, which the log line `probes_listening` names.",
    "gateway.keys_file": "TOML file of the keys that clients may use, as hashes; `headrace gateway key new` adds "
    "one. It is read again when it changes. A relative path is taken from the working directory.",
    "gateway.body_bytes_max": "Longest body of a call; a longer one is answered with 413. Default: 8 KiB less than "
    "`input.request_bytes_max`, and no more is allowed.",
    "gateway.upload_bytes_max": "Longest file of a batch.",
    "gateway.connections_max": "Connections of one process; beyond it none is accepted until one closes.",
    "gateway.inflight_max": "Calls that wait in one process; a further one is answered with 503 and `Retry-After`.",
    "gateway.header_timeout_s": "Time that a client may take to send the head of a request.",
    "gateway.body_timeout_s": "Time that a client may take to send the body of a call, or the next part of a file.",
    "gateway.idle_timeout_s": "Time after which an unused connection is closed. Keep it above the load balancer's own.",
    "gateway.drain_s": "Time after SIGTERM in which open calls are still answered; the others then get the id to come "
    "back with. Keep it below the time that the platform grants before SIGKILL.",
    "gateway.join_window_s": "Age up to which a repeated attempt of an SDK joins the call that it repeats, instead of "
    "being paid again. 0: never. At most `topics.calls.retention_s` and `dedupe.window_s`.",
    "topics.replication": "Copies of each partition. Unless set, at most the number of nodes.",
    "topics.min_insync": "Copies that must confirm a write. Unless set, at most `replication`.",
    "metrics.by_tenant": "Whether tokens and cost are counted by tenant too, 100 of them at most, the rest as `other`.",
    "metrics.by_template": "Whether they are counted by template too, with the same bound.",
    "tracing.endpoint": "Address of an OpenTelemetry collector for OTLP over HTTP, such as `http://collector:4318`; "
    "`/v1/traces` is added. Unset: `OTEL_EXPORTER_OTLP_ENDPOINT` and the like; without any, nothing is traced. Needs "
    "the extra `otel`.",
    "tracing.headers": "Headers of each export, `NAME=VALUE`, several separated by commas, such as a token. "
    "Unset: `OTEL_EXPORTER_OTLP_HEADERS`.",
    "tracing.sample": "Share of the traces that are exported, of those that no producer has decided on. Unset: as "
    "`OTEL_TRACES_SAMPLER` says, else all.",
    "tracing.content": "Whether spans of calls carry prompts and answers, up to 16,384 characters each.",
    "costs.enabled": "Whether outcomes say what their last call cost.",
    "costs.provider": "Provider whose prices hold, as genai-prices names it, such as `openai` or `azure`. Unset: the "
    "one at `openai.base_url`, and `openai` where the list names none there.",
    "costs.prices_file": "TOML file of [prices](costs.md#your-own-prices) that replace or scale those of the list. "
    "Read at the start of a dispatcher, and not again.",
    **{key: UNUSED + instead for key, instead in WITHOUT_EFFECT.items()},
}

HEAD: Final = """# Settings

<!-- Written by docs/generate_settings.py. Change that file, or the settings themselves, and run it again. -->

A setting can come from four places. Each overrides the ones before it:

1. the defaults below, and OpenAI's own variables (`OPENAI_API_KEY`, `OPENAI_API_KEY_FILE`, `OPENAI_BASE_URL`,
   `OPENAI_ORG_ID`, `OPENAI_PROJECT_ID`),
2. the TOML file that `--config` or `HEADRACE_CONFIG` names,
3. the environment: `HEADRACE_<GROUP>__<KEY>`, with two underscores between group and key,
4. flags.

An unknown key, an invalid value or two contradicting values stop the start with one sentence. It names the nearest
existing key, and the place that the value came from, for a file with its line. `headrace config check FILE` lists all
such mistakes; `headrace config show` lists the effective settings and their origins.

A table under `[lanes]` with a name other than the default ones is a new lane and needs an `order`: without one, the
start fails and the sentence names the lane that was likely meant. With one, `config check` has a caution for a name
that resembles a default lane's.

- **Secrets** (marked below) may also come from a file: `<key>_file` in TOML, `HEADRACE_<GROUP>__<KEY>_FILE` in the
  environment. A relative path in TOML is beside the settings file.
- **Whole groups** may be given as JSON in one variable: `HEADRACE_LIMITS='{"gpt-4o-mini": {"tokens_per_minute":
  60000}}'`. It is the only way for names with dots or dashes, which shells cannot export.
- **Sizes** are bytes, or text with a unit: `64MiB`, `900kB`. **Lists** in the environment are separated by commas.
- An empty variable counts as not set.
"""

INTRODUCTIONS: Final[Mapping[str, str]] = {
    "lanes": "One table for each lane, `[lanes.<lane>]`; `<lane>` is also the end of its topic's name. Three lanes "
    "exist by default; a table changes one or adds another, and `bulk = false` under `[lanes]` removes "
    "`bulk`.",
    "limits": 'One table for each limit, `[limits."<limit>"]`. Most accounts need none: for a limit without a '
    "table one call goes first, and its answer states the limit. Models with the same limit draw from one bucket.",
    "tenants": 'One table for each tenant with rules of its own, `[tenants."<tenant>"]`; `[tenants."*"]` applies to '
    "each tenant without a table, and to requests without a tenant, which count as one.",
    "topics": "One table for each kind of topic, `[topics.<kind>]`. `headrace topics create` creates them with "
    "these settings, `headrace topics check` reports differences.",
}


def page() -> str:
    """The whole file."""
    parts = [HEAD]
    for name, field in Settings.model_fields.items():
        parts.append(f"\n## `[{name}]`\n")
        if name in INTRODUCTIONS:
            parts.append(f"\n{INTRODUCTIONS[name]}\n")
        parts.extend(_tables(name, field))
    return "".join(parts)


def _tables(name: str, field: FieldInfo) -> Iterator[str]:
    if name == "topics":
        yield from _topics(field)
        return
    if get_origin(field.annotation) is Mapping:
        group = get_args(field.annotation)[1]
        yield _table(group, name, f"{name}.<{name[:-1]}>")
        yield _lane_defaults() if name == "lanes" else ""
        return
    assert isinstance(field.annotation, type)  # noqa: S101  # a group: there is nothing else at the top
    yield _table(field.annotation, name, name)
    first = next(iter(field.annotation.model_fields))
    yield f"\nIn the environment: `HEADRACE_{name.upper()}__{first.upper()}` and so on.\n"


def _table(group: type[Group], sentences: str, prefix: str) -> str:
    rows = ["\n| key | value | default | meaning |\n|---|---|---|---|\n"]
    rows += [_row(group, key, sentences, prefix, _default(field)) for key, field in group.model_fields.items()]
    return "".join(rows)


def _row(group: type[Group], key: str, sentences: str, prefix: str, default: str) -> str:
    secret = " Secret." if key in secret_keys(group) else ""
    sentence = SENTENCES[f"{sentences}.{key}"]
    return f"| `{prefix}.{key}` | {_kind(group.model_fields[key])} | {default} | {sentence}{secret} |\n"


def _lane_defaults() -> str:
    keys = ("order", "reserve", "floor", "deadline_s", "objective_s")
    rows = [f"\nThe three default lanes:\n\n| lane | {' | '.join(keys)} |\n|---|---|---|---|---|---|\n"]
    for lane, given in LANE_DEFAULTS.items():
        rows.append(f"| `{lane}` | {' | '.join(str(given.get(key, 0)) for key in keys)} |\n")
    return "".join(rows)


def _topics(field: FieldInfo) -> Iterator[str]:
    kinds: dict[str, type[Group]] = {
        kind: inner.annotation
        for kind, inner in field.annotation.model_fields.items()  # type: ignore[union-attr]  # a group, as above
    }
    yield "\n| key | value | default | meaning |\n|---|---|---|---|\n"
    for key, inner in kinds["results"].model_fields.items():
        default = "by kind, below" if key in {"partitions", "retention_s"} else _default(inner)
        yield _row(kinds["results"], key, "topics", "topics.<kind>", default)
    yield _row(
        kinds["ledger"], "segment_s", "topics", "topics.ledger", _default(kinds["ledger"].model_fields["segment_s"])
    )
    yield "\n| kind | topic | partitions | retention_s |\n|---|---|---|---|\n"
    for kind, group in kinds.items():
        ending = "requests.<lane>" if kind == "requests" else kind.replace("_", "-")
        retention = _default(group.model_fields["retention_s"])
        if retention == "none":
            retention = "twice `dedupe.window_s`, at least a day"
        yield f"| `{kind}` | `<prefix>.{ending}` | {_default(group.model_fields['partitions'])} | {retention} |\n"
    yield "\nLedger and totals always have one partition. `calls` and `batches` exist only with `gateway.enabled`.\n"


def _kind(field: FieldInfo) -> str:
    kinds = [one for one in (get_args(field.annotation) or (field.annotation,)) if one is not type(None)]
    if get_origin(field.annotation) is tuple:
        return "list of text"
    texts = [choice for one in kinds for choice in (get_args(one) or (one,))]
    if all(isinstance(text, str) for text in texts):
        return ", ".join(f"`{text}`" for text in texts)
    kind, inner = (kinds[0].__origin__, kinds[0].__metadata__) if hasattr(kinds[0], "__metadata__") else (kinds[0], ())
    within = [one for given in inner for one in (given.metadata if isinstance(given, FieldInfo) else (given,))]
    return _NAMES[kind] + _bounds([*field.metadata, *within])


def _bounds(metadata: Iterable[Any]) -> str:
    found: dict[str, Any] = {}
    for given in metadata:
        found |= {word: getattr(given, word) for word in ("ge", "gt", "le", "lt") if hasattr(given, word)}
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    told = [f"{words[word]} {value:,}" for word, value in found.items() if value is not None]
    return f", {', '.join(told)}" if told else ""


def _default(field: FieldInfo) -> str:
    value = field.default
    if field.is_required():
        return "required"
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, ByteSize):
        return f"`{int(value)}`" if value % 1_024 else f"`{value.human_readable().replace('.0', '')}`"
    return f"`{', '.join(value)}`" if isinstance(value, tuple) else f"`{value}`"


_NAMES: Final[Mapping[Any, str]] = {
    bool: "yes or no",
    int: "whole number",
    float: "number",
    str: "text",
    ByteSize: "size",
    SecretStr: "text",
}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.name} written\n")
