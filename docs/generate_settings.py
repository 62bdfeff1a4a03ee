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

from broker.settings.cautions import WITHOUT_EFFECT
from broker.settings.group import Group
from broker.settings.known import secret_keys
from broker.settings.lanes import LANE_DEFAULTS
from broker.settings.whole import Settings

PAGE: Final = Path(__file__).with_name("settings.md")
UNUSED: Final = "**Accepted, and without effect in this version.** "

SENTENCES: Final[Mapping[str, str]] = {
    "kafka.bootstrap_servers": "`host:port`, several separated by commas; in TOML also a list.",
    "kafka.topic_prefix": "Which budget. Topics, transactional id, offsets group and lease key carry it.",
    "kafka.security_protocol": "How the nodes are spoken to.",
    "kafka.sasl_mechanism": "Needed with SASL.",
    "kafka.username": "Needed with SASL.",
    "kafka.password": "Needed with SASL.",
    "kafka.ca_file": "Certificates that sign the nodes' own; without it the system's.",
    "redis.url": "`redis://`, `rediss://` or `unix://`. Counts as a secret as a whole, since it may hold a password.",
    "redis.key_prefix": "Begins the name of the lease key.",
    "openai.api_key": "Falls back to `OPENAI_API_KEY`. The dispatcher does not start without one.",
    "openai.base_url": "Falls back to `OPENAI_BASE_URL`; without either, OpenAI's own.",
    "openai.organization": "Falls back to `OPENAI_ORG_ID`.",
    "openai.project": "Falls back to `OPENAI_PROJECT_ID`.",
    "openai.timeout_s": "How long one call may take.",
    "dispatcher.name": "A label for people, shown by `/status`. It tells no two budgets apart.",
    "dispatcher.inflight_max": "Calls in flight at once, all limits together.",
    "dispatcher.http_host": "The address of the probes, metrics and status, which ask for no password: this machine's "
    "own unless set. `0.0.0.0` for probes and scrapes from elsewhere; the image, `compose.yaml` and the chart set it.",
    "dispatcher.http_port": "Their port; 0 takes a free one, and the log line `listening` names it.",
    "retrier.http_host": "The same of the retrier.",
    "retrier.http_port": "Their port; 0 takes a free one, and the log line `listening` names it.",
    "retrier.held_bytes_max": "What waits is kept in memory up to this; beyond it, it is read again when it is due.",
    "retrier.fresh_share": "Of the fresh requests that come to a lane, the part that retries may add to them. 0: only "
    "`retrier.floor_per_s`.",
    "retrier.floor_per_s": "Retries that a lane takes back each second besides, however little comes to it. What is "
    "due beyond both waits, in the order in which it is due. No more than a fifth of what the lane is served is wise.",
    "dispatcher.grace_s": "What the platform grants between SIGTERM and SIGKILL. The shutdown ladder stays below it.",
    "dispatcher.lease_ttl_s": "Life of the lease; a standby waits for it when a leader dies. Below 1.9 the start "
    "fails, since the other times of the election are fixed.",
    "dispatcher.held_bytes_max": "Bytes of answers in memory. A call reserves 64 KiB of it until its answer is there.",
    "dispatcher.transaction_timeout_s": "After so long Kafka aborts a transaction that its leader left open.",
    "models.allow": "Models a producer may ask for, as patterns; any other is Failed with reason `rejected`. `*` lets "
    "each producer ask for the dearest model there is: name those that you pay for.",
    "tools.allow": "What a request may ask OpenAI to reach beyond itself, as patterns: `mcp` (a server that the "
    "producer names), `file_search` (the account's vector stores), `web_search*` (also a chat's `web_search_options`), "
    "`code_interpreter`, `shell` (in OpenAI's containers), `prompt` (a stored template, which may have tools), Azure's "
    "`data_sources`, and each type that this release does not know. Any other is Failed with reason `rejected`. "
    "Functions, custom tools and what else the producer carries out itself need no permission.",
    "replies.allow": "Topics that a request may name in `reply_to`, by their exact names; one that names any other is "
    "Failed with reason `rejected`. They are their owners' to create, and the dispatcher needs WRITE on them.",
    "input.request_bytes_max": "A longer value is no request: `invalid_request`, or a dead letter if it has no id.",
    "input.nesting_max": "How deep a value may nest.",
    "input.values_max": "How many JSON values a record may hold, a list or an object counted as 4. More: as a longer "
    "value.",
    "retry.in_place_max_s": "A longer wait leaves the dispatcher as a RetryableFailure, and `headrace retrier` puts "
    "the request back on its lane when it is due.",
    "retry.attempts_max": "Failed attempts (5xx, overload, time-out, connection) after which a request is Failed with "
    "reason `exhausted`. 429s and trouble with the account do not count.",
    "dedupe.window_s": "How long an answered id is recognised.",
    "dedupe.ids_max": "How many ids at most; beyond it the oldest answered one is forgotten.",
    "lanes.order": "1 goes first. Every lane needs its own.",
    "lanes.floor": "Part of the tokens admitted while this lane waits that it gets at least.",
    "lanes.ceiling": "Part of the tokens admitted while others wait that this lane gets at most. Alone it may have "
    "all.",
    "lanes.lift": "Of what lanes above are served, the part that requests of this lane with near deadlines may take "
    "beside them, in the turn of the lane directly above. 0: none is lifted.",
    "lanes.reserve": "Part of every bucket that later lanes leave untouched while this lane has nobody waiting.",
    "lanes.serial": "Of one ordering key one request at a time, to its end. Nothing is parked: retries wait in place.",
    "lanes.deadline_s": "Given to requests without a deadline, from their Kafka timestamp on.",
    "lanes.deadline_max_s": "None may ask for more; a later deadline is cut to it. Without it: a day less than "
    "`topics.requests.retention_s`.",
    "lanes.buffer_max": "Requests of this lane held in memory.",
    "lanes.buffer_bytes_max": "The same in bytes of their values.",
    "limits.models": "What draws from this limit, as patterns. Without it: the limit's name and its dated snapshots "
    "(`<name>-20*`).",
    "limits.tokens_per_minute": "Believed until the first answer says otherwise.",
    "limits.requests_per_minute": "Believed until the first answer says otherwise.",
    "limits.tokens_per_day": "What you believe of a limit on tokens per day. It is paid beside the one per minute; "
    "no header tells it, only a refusal does.",
    "limits.requests_per_day": "The same of requests. A header that names another limit per day wins.",
    "limits.cap_tokens_per_minute": "Our own cap on any 60 seconds, never exceeded, whatever headers say.",
    "limits.burst_s": "Never more than so many seconds of quota at once. Without it: as much as the server "
    "bears, found out within seconds.",
    "limits.inflight_max": "Calls in flight for this limit.",
    "tenants.weight": "Its share against the other tenants' weights, in tokens, while several wait in a lane.",
    "tenants.cap_tokens_per_minute": "Never more in any 60 seconds, all lanes and limits together; a larger request "
    "goes alone.",
    "tenants.inflight_max": "Calls in flight, all lanes and limits together.",
    "limits.charge_law": "How a call is priced. `auto` identifies the law from answers; a name fixes it, whatever "
    "answers say. `usage` takes the input at admission and the output when the call ends.",
    "topics.partitions": "Partitions when it is created. Who adds some later says so here: Kafka takes none away. "
    "The progress of all lanes' partitions must fit one commit of 1 MiB: with three lanes some 1,900 each.",
    "topics.retention_s": "How long records are kept. `requests` and `failures` must keep theirs a day longer than the "
    "longest deadline of a lane, `results` at least `dedupe.window_s`, `ledger` twice that and at least a day.",
    "topics.max_message_bytes": "The largest batch the topic takes. At least what must fit: 748 KiB for `ledger` (a "
    "full line, more with many lanes), 32 KiB for `results`, 80 KiB for `failures` and `dead_letters`, 65 KiB for "
    "`chunks`, 16 KiB for `control`; for `requests` 32 KiB more than `input.request_bytes_max`.",
    "topics.replication": "Copies of each partition. Unless set, no more than there are nodes.",
    "topics.min_insync": "Copies that must agree to a write. Unless set, no more than `replication`.",
    **{key: UNUSED + instead for key, instead in WITHOUT_EFFECT.items()},
}

HEAD: Final = """# Settings

<!-- Written by docs/generate_settings.py. Change that file, or the settings themselves, and run it again. -->

A setting comes from four places. Each beats the ones before it:

1. the defaults below, and OpenAI's own variables (`OPENAI_API_KEY`, `OPENAI_API_KEY_FILE`, `OPENAI_BASE_URL`,
   `OPENAI_ORG_ID`, `OPENAI_PROJECT_ID`),
2. the TOML file that `--config` or `HEADRACE_CONFIG` names,
3. the environment: `HEADRACE_<GROUP>__<KEY>`, with two underscores between group and key,
4. flags.

A key that does not exist stops the start with one sentence that names the nearest one that does. So does a value that
makes no sense, or two that contradict each other; the sentence says from which of the four places the value came, of a
file also the line. `headrace config check FILE` lists every such mistake, `headrace config show` what is in force and
why.

A table under `[lanes]` that is none of the default ones is a new lane, and needs an `order` of its own: without one the
sentence names the lane that was likely meant. With one, `config check` has a caution for a name like another's.

- **Secrets** (marked below) may also come from a file: `<key>_file` in TOML, `HEADRACE_<GROUP>__<KEY>_FILE` in the
  environment. A relative path in TOML is beside the settings file.
- **Whole groups** may be given as JSON in one variable: `HEADRACE_LIMITS='{"gpt-4o-mini": {"tokens_per_minute":
  60000}}'`. That is the only way for names with dots or dashes, which no shell exports.
- **Sizes** are bytes, or text with a unit: `64MiB`, `900kB`. **Lists** in the environment are separated by commas.
- An empty variable counts as not set.
"""

INTRODUCTIONS: Final[Mapping[str, str]] = {
    "lanes": "One table for each lane, `[lanes.<lane>]`; `<lane>` is also the end of its topic's name. Three lanes are "
    "there without being named; naming one changes it or adds it, and `bulk = false` under `[lanes]` takes it away.",
    "limits": 'One table for each limit, `[limits."<limit>"]`. Most accounts need none: a limit that nobody configured '
    "lets one call go first and believes its answer. Models with the same limit draw from one bucket.",
    "tenants": 'One table for each tenant that is not like the others, `[tenants."<tenant>"]`; `[tenants."*"]` is what '
    "holds for each one without a table, and for requests that name no tenant, which count as one.",
    "topics": "One table for each kind of topic, `[topics.<kind>]`. `headrace topics create` makes them so, "
    "`headrace topics check` reports differences.",
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
    keys = ("order", "reserve", "floor", "deadline_s")
    rows = [f"\nThe three default lanes:\n\n| lane | {' | '.join(keys)} |\n|---|---|---|---|---|\n"]
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
    yield "\nThe ledger always has one partition.\n"


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
