"""What a client asks for beside the body: `x-headrace-*` headers, `Idempotency-Key`, `Prefer`, over its key's defaults.

Pure. Anything that cannot be read is refused with the header's name: a request must not run on another lane, or without
its deadline, for a typing error.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.shapes.errors import ApiError, forbidden, invalid_request
from headrace.broker.trace_context import read_context
from headrace.schemas.instants import from_wire
from headrace.schemas.nearest import listed
from headrace.schemas.request import LABEL_LENGTH_MAX

GIVEN_ID: Final = "x-headrace-id"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
LANE: Final = "x-headrace-lane"
DEADLINE: Final = "x-headrace-deadline"
TEMPLATE: Final = "x-headrace-template"
ORDERING_KEY: Final = "x-headrace-ordering-key"
ON_DISCONNECT: Final = "x-headrace-on-disconnect"
RETRY_COUNT: Final = "x-stainless-retry-count"
PREFER: Final = "Prefer"
RESPOND_ASYNC: Final = "respond-async"
_KNOWN: Final = frozenset({GIVEN_ID, LANE, DEADLINE, TEMPLATE, ORDERING_KEY, ON_DISCONNECT})
_GIVEN_ID_CHARS_MAX: Final = 512
_CONTROLS: Final = frozenset(map(chr, (*range(0x20), 0x7F))) - {"\t"}
_DEADLINE_S_MAX: Final = 366 * 86_400.0
_OURS: Final = "x-headrace-"


@dataclass(frozen=True, slots=True)
class CallOptions:
    """Options of one HTTP request.

    Attributes:
        given_id: The id that the client chose; None: it chose none.
        retry_count: How often an SDK has repeated this call; None: the client does not say.
        is_async: Whether the client wants the id alone, and no wait.
        cancels: Whether the request is cancelled if its client hangs up.
    """

    lane: str
    given_id: str | None = None
    deadline: datetime | None = None
    template: str | None = None
    ordering_key: str | None = None
    traceparent: str | None = None
    retry_count: int | None = None
    is_async: bool = False
    cancels: bool = False


def read_options(headers: Mapping[str, str], key: ClientKey, now: datetime) -> CallOptions:
    """Read the headers of a request; their names are compared without case by the mapping.

    Raises:
        ApiError: 400 for one that cannot be read, 403 for a lane that the key may not use.
    """
    for name in headers:
        if name.lower().startswith(_OURS) and name.lower() not in _KNOWN:
            raise invalid_request(f"There is no header {name[:100]}, only {listed(sorted(_KNOWN))}.")
    return CallOptions(
        lane=_lane(headers.get(LANE), key),
        given_id=_given_id(headers),
        deadline=_deadline(headers.get(DEADLINE), key, now),
        template=_label(headers, TEMPLATE) or key.template,
        ordering_key=_label(headers, ORDERING_KEY),
        traceparent=_traceparent(headers.get("traceparent")),
        retry_count=_count(headers.get(RETRY_COUNT)),
        is_async=_prefers_async(headers.get(PREFER, "")),
        cancels=_cancels(headers.get(ON_DISCONNECT, key.on_disconnect)),
    )


def _lane(given: str | None, key: ClientKey) -> str:
    lane = key.lane if given is None else given.strip()
    if not key.may_use_lane(lane):
        raise forbidden(f"This key may not use the lane {lane[:100]!r}, only {listed(sorted(key.lanes))}.", param=LANE)
    return lane


def _given_id(headers: Mapping[str, str]) -> str | None:
    own, common = headers.get(GIVEN_ID), headers.get(IDEMPOTENCY_KEY)
    if own is not None and common is not None and own != common:
        raise invalid_request(f"{GIVEN_ID} and {IDEMPOTENCY_KEY} name two ids: send one of them.", param=GIVEN_ID)
    given = common if own is None else own
    if given is None:
        return None
    if not can_be_given(given):
        message = f"An id has 1 to {_GIVEN_ID_CHARS_MAX} characters of UTF-8, without control characters."
        raise invalid_request(message, param=GIVEN_ID)
    return given


def can_be_given(candidate: str) -> bool:
    """Whether a client can have chosen this id: valid text that a header can carry, there and back."""
    try:
        candidate.encode()
    except UnicodeEncodeError:  # a header's bytes that are no UTF-8, such as Latin-1
        return False
    return 1 <= len(candidate) <= _GIVEN_ID_CHARS_MAX and _CONTROLS.isdisjoint(candidate)


def _deadline(given: str | None, key: ClientKey, now: datetime) -> datetime | None:
    if given is None:
        return None if key.deadline_s is None else now + timedelta(seconds=key.deadline_s)
    text = given.strip()
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        return _instant(text, now)
    if not math.isfinite(seconds) or not 0 < seconds <= _DEADLINE_S_MAX:
        raise _unreadable_deadline()
    return now + timedelta(seconds=seconds)


def _instant(text: str, now: datetime) -> datetime:
    try:
        at = from_wire(text)
    except ValueError:
        raise _unreadable_deadline() from None
    if at <= now:
        raise invalid_request(f"The time in {DEADLINE} has passed.", param=DEADLINE)
    return at.astimezone(UTC)


def _unreadable_deadline() -> ApiError:
    message = f"{DEADLINE} is a number of seconds from now, such as 30, or a time such as 2026-12-01T09:30:00Z."
    return invalid_request(message, param=DEADLINE)


def _label(headers: Mapping[str, str], name: str) -> str | None:
    given = headers.get(name)
    if given is None:
        return None
    try:
        given.encode()
    except UnicodeEncodeError:
        raise invalid_request(f"{name} is not valid text.", param=name) from None
    if not 1 <= len(given) <= LABEL_LENGTH_MAX:
        raise invalid_request(f"{name} has 1 to {LABEL_LENGTH_MAX} characters.", param=name)
    return given


def _traceparent(given: str | None) -> str | None:
    """Pass on a valid trace context; another one is ignored, as W3C's specification asks."""
    return None if read_context(given) is None else given


def _count(given: str | None) -> int | None:
    """Return the SDK's count of repetitions; None for what is no count: the header is the SDK's, not the user's."""
    if given is None or not given.isascii() or not given.isdigit() or len(given) > 9:
        return None
    return int(given)


def _prefers_async(given: str) -> bool:
    return any(part.strip().lower().startswith(RESPOND_ASYNC) for part in given.split(","))


def _cancels(given: str) -> bool:
    if given not in {"keep", "cancel"}:
        raise invalid_request(f"{ON_DISCONNECT} is keep or cancel.", param=ON_DISCONNECT)
    return given == "cancel"
