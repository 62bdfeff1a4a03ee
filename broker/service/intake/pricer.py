"""Pricing of a record: its identity, the limit it draws on, and its charge, as the core must know them.

Bad bytes become Garbage, and what a producer may not ask becomes a refusal; nothing here raises for any input.
"""

import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from headrace.broker.clock import WallClock
from headrace.broker.core.endpoints import Law
from headrace.broker.core.identity.dedupe import Identity
from headrace.broker.core.pricing.laws import (
    PRICE_MAX,
    Prices,
    RequestSize,
    beyond_any_limit,
    framing_tokens,
    measure,
    prices,
    texts,
)
from headrace.broker.core.pricing.references import references
from headrace.broker.core.ticket import Candidate, Garbage
from headrace.broker.ports import TokenCounter
from headrace.broker.service.core_config import answer_bytes_max
from headrace.broker.service.intake.answer_size import inputs_max
from headrace.broker.service.intake.grants import Grants
from headrace.broker.service.intake.outreach import reaching
from headrace.broker.settings.limits import settings_of
from headrace.broker.settings.whole import Settings
from headrace.schemas.copies import StatedIdentity, stated_identity
from headrace.schemas.ids import fingerprint, id_hash, template_mark, tenant_mark
from headrace.schemas.record import Record
from headrace.schemas.refusals import MODEL_NAME_MAX, refusal_of
from headrace.schemas.request import GenerationRequest, deadline_of
from headrace.schemas.request_codec import (
    DecodedRequest,
    InputLimits,
    Undecodable,
    attempt_of,
    decode_request,
    unread_request,
)

CRASHED = "Two dispatchers ended while they read this record; it was not read again."
DEFECT = "A defect in the dispatcher ended the reading of this record; the dispatcher's log has its trace."
_KIND_CHARS_MAX = 64
_COUNTED_BYTES_MAX = 64 * 1024
"""Longer texts are priced by bytes: counting their tokens would block the loop for milliseconds."""


class Pricer:
    """Decoder and pricer of one lane's records."""

    def __init__(self, settings: Settings, counter: TokenCounter, clock: WallClock, grants: Grants) -> None:
        """`counter` works offline; `clock` turns deadlines into loop time; `grants` decide which runs are believed."""
        self._grants = grants
        self._settings = settings
        self._counter = counter
        self._clock = clock
        self._input = input_limits(settings)
        self._answer_bytes_max = answer_bytes_max(settings)

    def read(
        self, lane: str, record: Record, submitted_at: datetime
    ) -> tuple[DecodedRequest | Undecodable, Candidate | Garbage]:
        """Decode, identify and price a record."""
        decoded = decode_request(record.value, record.headers, self._input, key=record.key)
        if isinstance(decoded, Undecodable):
            return self._garbage(decoded, record)
        run = self._run(decoded.request.id, decoded.run, record)
        if run != decoded.run:
            decoded = replace(decoded, run=run, deadline_override=None)
        return decoded, self._candidate(lane, decoded, submitted_at)

    def unread(self, record: Record, sentence: str = CRASHED) -> tuple[Undecodable, Garbage]:
        """Return what is known of a record whose value must not be read again: its headers may name its id."""
        return self._garbage(unread_request(record.headers, sentence), record, "crashed")

    def _run(self, request_id: str | None, named: int, record: Record) -> int:
        """Return the run that a record's header names; a copy of a parked request has the run that was parked.

        The header of a copy is as the producer wrote it. If it was not believed at first, the copy would seem to be a
        replay of the parked request, and would wait for its own outcome.
        """
        stated = _stated(record)
        run = named if stated is None or stated.request_id != request_id else stated.run
        return run if self._grants.believes(request_id, run, record.headers) else 0

    def _garbage(
        self, decoded: Undecodable, record: Record, reason: str = "invalid_request"
    ) -> tuple[Undecodable, Garbage]:
        """Return Garbage.

        What the retrier wrote beside a parked request's copy identifies it, whatever its body says.
        """
        stated = _stated(record)
        request_id = decoded.request_id if stated is None else stated.request_id
        decoded = replace(decoded, request_id=request_id, run=self._run(request_id, decoded.run, record))
        if decoded.request_id is None:
            return decoded, Garbage(None, decoded.message, "undecodable" if reason == "invalid_request" else reason)
        mark = _mark(record) if stated is None else stated.fingerprint
        identity = Identity(id_hash(decoded.request_id), decoded.run, mark)
        return decoded, Garbage(identity, decoded.message, reason, attempt=attempt_of(record.headers))

    def defect(self, record: Record) -> tuple[Undecodable, Garbage]:
        """Return what is known of a record for which `read` raised: its id and content, if it can be decoded."""
        with suppress(Exception):  # the defect may be in there
            decoded = decode_request(record.value, record.headers, self._input, key=record.key)
            if isinstance(decoded, DecodedRequest):
                request = decoded.request
                run = self._run(request.id, decoded.run, record)
                told = Undecodable(DEFECT, request.id, run, request.tenant, request.endpoint, reply_to=request.reply_to)
                mark = fingerprint(request.tenant, request.endpoint, request.body)
                identity = Identity(id_hash(request.id), run, mark)
                return told, Garbage(identity, DEFECT, "crashed", attempt=decoded.attempt)
        return self.unread(record, DEFECT)

    def _candidate(self, lane: str, decoded: DecodedRequest, submitted_at: datetime) -> Candidate:
        request = decoded.request
        model = (request.model or "")[:MODEL_NAME_MAX]
        identity = Identity(
            id_hash(request.id), decoded.run, fingerprint(request.tenant, request.endpoint, request.body)
        )
        size = measure(request.endpoint, request.body, self.input_tokens(request, model))
        limit = self._settings.limit_for(model, size.input_tokens + size.image_tokens)
        return Candidate(
            identity=identity,
            attempt=decoded.attempt,
            model=model,
            limit=limit,
            prices=self._prices(request, size, limit, model),
            deadline_ms=self._clock.to_loop_ms(self._deadline(lane, decoded, submitted_at)),
            refusal=self._refusal(request, model),
            failures=decoded.failures,
            tenant=request.tenant or "",
            order=_hash_of(decoded.ordering_key),
            name=request.id,
            tenant_mark=tenant_mark(request.tenant),
            tier=request.tier,
        )

    def _prices(self, request: GenerationRequest, size: RequestSize, limit: str, model: str) -> Prices:
        named, template = references(request.endpoint, request.body), template_mark(model, request.template)
        return prices(request.endpoint, size, fixed_law(self._settings, limit), named, template)

    def input_tokens(self, request: GenerationRequest, model: str) -> int:
        """Count the tokens of the request's texts with the tokenizer, or estimate by bytes where it cannot."""
        tokens = 0
        for text in texts(request.endpoint, request.body):
            size = len(text)
            counted = self._counter.count(model, text) if size <= _COUNTED_BYTES_MAX else None
            tokens += counted if counted is not None else len(text.encode(errors="surrogatepass")) // 4 + 1
        return tokens + framing_tokens(request.endpoint, request.body)

    def _deadline(self, lane: str, decoded: DecodedRequest, submitted_at: datetime) -> datetime:
        """Return the header's deadline, the body's or the lane's; none is later than the longest one of the lane."""
        asked = deadline_of(decoded.request, decoded.deadline_override)
        if asked is not None:
            return min(asked, submitted_at + timedelta(seconds=self._settings.deadline_max_s(lane)))
        return submitted_at + timedelta(seconds=self._settings.lanes[lane].deadline_s)

    def _refusal(self, request: GenerationRequest, model: str) -> tuple[str, str] | None:
        if (sentence := self._invalid(request)) is not None:
            return "invalid_request", sentence
        if not any(fnmatchcase(model, pattern) for pattern in self._settings.models.allow):
            return "rejected", f"The model {model!r} is not on this dispatcher's list models.allow."
        for kind in reaching(request.body):
            if not any(fnmatchcase(kind, pattern) for pattern in self._settings.tools.allow):
                return "rejected", f"{kind[:_KIND_CHARS_MAX]!r} is not on this dispatcher's list tools.allow."
        if request.reply_to is not None and request.reply_to not in self._settings.replies.allow:
            return "rejected", f"The topic {request.reply_to!r} is not on this dispatcher's list replies.allow."
        return None

    def _invalid(self, request: GenerationRequest) -> str | None:
        """Return why no dispatcher with these settings could serve it; None if one could."""
        if (sentence := refusal_of(request)) is not None:
            return sentence
        if (asked := beyond_any_limit(request.body)) is not None:
            return f"{asked} is above {PRICE_MAX}, more than any limit could ever pay."
        if (fit := inputs_max(request.endpoint, request.body, self._answer_bytes_max)) is not None:
            return (
                f"The answer would not fit a record of the topic of results: send at most {fit} inputs at once "
                f"(in LangChain: chunk_size={fit}), or raise topics.results.max_message_bytes."
            )
        return None


def _stated(record: Record) -> StatedIdentity | None:
    """Return what the retrier wrote beside a copy of a parked request; None for any other record."""
    return stated_identity(record.headers) if attempt_of(record.headers) else None


def _hash_of(ordering_key: str | None) -> bytes:
    """Return the hash by which the core knows an ordering key."""
    return b"" if not ordering_key else hashlib.blake2b(ordering_key.encode(errors="replace"), digest_size=16).digest()


def fixed_law(settings: Settings, limit: str) -> Law | None:
    """Return the law that an operator has set for a limit; None: evidence decides."""
    configured = settings_of(limit, settings.limits)
    return None if configured is None or configured.charge_law == "auto" else Law(configured.charge_law)


def input_limits(settings: Settings) -> InputLimits:
    """Return the bounds within which a record is read at all."""
    return InputLimits(settings.input.request_bytes_max, settings.input.nesting_max, settings.input.values_max)


def _mark(record: Record) -> bytes:
    """Return the substitute for a fingerprint: the same bytes are the same request."""
    return hashlib.blake2b(record.value or b"", digest_size=8).digest()
