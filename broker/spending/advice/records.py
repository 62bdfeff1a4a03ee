"""What is kept of one request and of one outcome."""

import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from headrace.broker.core.endpoints import ENDPOINT_TABLE, Shape, facts_of
from headrace.broker.spending.advice.finding import CountTokens
from headrace.broker.spending.advice.prompts import Prompt, prompt_of
from headrace.schemas.outcome import Cost
from headrace.schemas.request_codec import DecodedRequest
from headrace.schemas.spending import AdvisedOutcome

BYTES_PER_TOKEN: Final = 4
CAPS: Final = tuple(dict.fromkeys(name for row in ENDPOINT_TABLE.values() for name in row.output_caps))
AMOUNT_MAX: Final = 10**9
"""The largest amount of a body that is believed: a cap, or a number of answers."""
BEGINNING_CHARS: Final = 2_000
_SNAPSHOT: Final = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})$")
_PLAIN_WORD: Final = re.compile(r"\b[^\W\dA-Z_]{2,24}\b")
_SHINGLE: Final = 3


class OutcomeFacts(NamedTuple):
    """One answered call. `pico_usd` is None without a price; instants are seconds since 1970."""

    template: str | None
    model: str
    lane: str
    tier: str
    input: int
    cached: int
    output: int
    charge: int | None
    pico_usd: int | None
    submitted_s: float | None
    finished_s: float | None
    total_ms: int


class RequestFacts(NamedTuple):
    """One request. `packed` holds the kept text of its prompt, `cap` is the cap on each answer.

    `beginning` is its template, else a digest of its instructions' beginning; `definitions` are the characters of the
    text up to the end of tools and schemas.
    """

    lane: str
    deadline_s: float | None
    cap: int | None
    cap_name: str
    answers: int
    has_cache_key: bool
    is_cacheable: bool
    bytes_total: int
    kept_bytes: int
    packed: bytes
    beginning: str
    definitions: int = 0

    def text(self) -> str:
        """Return the kept text of its prompt."""
        return zlib.decompress(self.packed).decode()

    def tokens(self, model: str, count: CountTokens | None) -> float:
        """Estimate the tokens of its prompt: counted as far as its text is kept, the rest in proportion."""
        counted = None if count is None else count(model, self.text())
        if counted is None or not self.kept_bytes:
            return self.bytes_total / BYTES_PER_TOKEN
        return counted * self.bytes_total / self.kept_bytes


class Joined(NamedTuple):
    """A request and its outcome."""

    request: RequestFacts
    outcome: OutcomeFacts


@lru_cache(1_024)
def family_of(model: str) -> str:
    """Return a model's name without the date of its snapshot, as requests name it: `gpt-4o` of `gpt-4o-2024-08-06`."""
    return _SNAPSHOT.sub("", model)


def pico_usd_of(cost: Cost | None) -> int | None:
    """Return what a call cost; None if that is unknown."""
    return None if cost is None else cost.pico_usd


def facts_of_outcome(outcome: AdvisedOutcome, model: str) -> OutcomeFacts:
    """Return what is kept of an outcome with usage."""
    usage, timings = outcome.usage, outcome.timings
    assert usage is not None  # noqa: S101 — programmer error: only answered calls are sampled
    return OutcomeFacts(
        template=outcome.template,
        model=model,
        lane=outcome.lane or "",
        tier=outcome.tier_asked or "",
        input=usage.input_tokens,
        cached=usage.cached_tokens,
        output=usage.output_tokens,
        charge=outcome.charge_tokens,
        pico_usd=pico_usd_of(outcome.cost),
        submitted_s=seconds(timings.submitted_at or timings.taken_at),
        finished_s=seconds(timings.finished_at),
        total_ms=(timings.queue_ms or 0) + (timings.upstream_ms or 0),
    )


def facts_of_request(decoded: DecodedRequest, lane: str) -> RequestFacts:
    """Return what is kept of a request. Never raises, whatever its body."""
    request = decoded.request
    prompt = prompt_of(request.body)
    cap_name, cap = _cap_of(request.body)
    return RequestFacts(
        lane=lane,
        deadline_s=seconds(decoded.deadline_override or request.deadline),
        cap=cap,
        cap_name=cap_name,
        answers=_amount(request.body.get("n")) or 1,
        has_cache_key=isinstance(request.body.get("prompt_cache_key"), str),
        is_cacheable=facts_of(request.endpoint).shape is not Shape.VECTORS,
        bytes_total=prompt.bytes_total,
        kept_bytes=prompt.kept_bytes,
        packed=zlib.compress(prompt.text.encode(errors="replace"), 1),
        beginning=request.template or beginning_of(prompt),
        definitions=prompt.definitions,
    )


def beginning_of(prompt: Prompt) -> str:
    """Return a digest of the instructions' beginning that dates, ids, numbers and names in it do not change.

    It is the smallest hash of three plain words in a row, so that texts with the same beginning have the same one.
    """
    end = min(BEGINNING_CHARS, prompt.instructions or len(prompt.text))
    words = _PLAIN_WORD.findall(prompt.text[:end])
    rows = (" ".join(words[i : i + _SHINGLE]) for i in range(max(1, len(words) - _SHINGLE + 1)))
    return f"{min(zlib.crc32(row.encode()) for row in rows):08x}"


def seconds(instant: datetime | None) -> float | None:
    """Return an instant in seconds since 1970."""
    if instant is None:
        return None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def _cap_of(body: Mapping[str, Any]) -> tuple[str, int | None]:
    for name in CAPS:
        if cap := _amount(body.get(name)):
            return name, cap
    return "", None


def _amount(value: Any) -> int | None:
    """Return a positive whole number that a body states; None if it is none."""
    return min(value, AMOUNT_MAX) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
