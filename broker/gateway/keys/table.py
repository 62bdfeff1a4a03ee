"""One table of the key file, `[keys.<name>]`: its members, their bounds, and a sentence for each mistake.

No sentence repeats a value, nor a name that could be a key in clear text: an operator may have put one in any place.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from headrace.broker.gateway.ids import TENANT_LENGTH_MAX, is_tenant_name
from headrace.broker.gateway.keys.key import EVERY_MODEL, STANDARD, WAIT_MAX_S, WAIT_S, ClientKey, OnDisconnect
from headrace.broker.gateway.keys.key_text import HASH_PREFIX, digest_in, may_be_secret
from headrace.broker.settings.group import LIFETIME_MAX_S
from headrace.schemas.complaint import EXPECTED_OF_SCALARS
from headrace.schemas.nearest import listed, nearest
from headrace.schemas.request import LABEL_LENGTH_MAX

NAME_CHARS_MAX: Final = 40
_NAME: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{NAME_CHARS_MAX}}}")
_COUNT_MAX: Final = 1_000_000
_PATTERNS_MAX: Final = 100
_HASHES_MAX: Final = 20
_EXPECTED: Final[Mapping[str, str]] = EXPECTED_OF_SCALARS | {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than_equal": "at most {le:g}",
    "list_type": 'a list such as ["a", "b"]',
    "literal_error": "{expected}",
    "model_type": "a table",
    "string_too_long": "at most {max_length} characters",
    "too_long": "a list of at most {max_length}",
}


def is_key_name(name: str) -> bool:
    """Whether a key may be called so: 1 to 40 letters, digits, dots, underscores and hyphens."""
    return _NAME.fullmatch(name) is not None


def _tenant(given: Any) -> Any:
    if isinstance(given, str) and not is_tenant_name(given):
        raise ValueError(f"must be 1 to {TENANT_LENGTH_MAX} letters, digits, dots, underscores and hyphens")
    return given


def _hash(given: Any) -> Any:
    """Refuse what is no hash; the error is the same for a key in clear text and for a hash that was cut."""
    digest = digest_in(given) if isinstance(given, str) else None
    if digest is None:
        raise ValueError(
            f"must be a hash, `{HASH_PREFIX}` and 64 hex digits; a key in clear text must not stand here: replace it, "
            "for it has been seen"
        )
    return digest


def _until(given: Any) -> Any:
    """Take an instant with its time zone, or a day, which ends at midnight UTC."""
    if isinstance(given, datetime):
        if given.tzinfo is None:
            raise ValueError("needs a time zone, such as 2027-01-31T00:00:00Z")
        try:
            return given.astimezone(UTC)
        except OverflowError:
            raise ValueError("must lie in the years 1 to 9999") from None
    if isinstance(given, date):
        return datetime.combine(given, time.max, UTC)
    raise ValueError("must be a date or a time without quotation marks, such as 2027-01-31T00:00:00Z")


def _listed_hash(given: Any) -> Any:
    return {"hash": given} if isinstance(given, str) else given


_Until = Annotated[datetime, BeforeValidator(_until)]
_Label = Annotated[str, Field(min_length=1, max_length=LABEL_LENGTH_MAX)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False)


class HashEntry(_Closed):
    """One hash of a key, and the instant from which it is refused."""

    hash: Annotated[bytes, BeforeValidator(_hash)]
    not_after: _Until | None = None


class KeyTable(_Closed):
    """Members of `[keys.<name>]`."""

    tenant: Annotated[str, BeforeValidator(_tenant)]
    hashes: Annotated[
        list[Annotated[HashEntry, BeforeValidator(_listed_hash)]], Field(min_length=1, max_length=_HASHES_MAX)
    ]
    not_after: _Until | None = None
    lane: _Label | None = None
    lanes: Annotated[list[_Label], Field(min_length=1, max_length=_PATTERNS_MAX)] | None = None
    models: Annotated[list[_Label], Field(min_length=1, max_length=_PATTERNS_MAX)] = list(EVERY_MODEL)
    inflight_max: int | None = Field(None, ge=1, le=_COUNT_MAX)
    requests_per_minute: int | None = Field(None, ge=1, le=_COUNT_MAX)
    deadline_s: float | None = Field(None, gt=0, le=LIFETIME_MAX_S)
    wait_s: float = Field(WAIT_S, ge=1, le=WAIT_MAX_S)
    on_disconnect: OnDisconnect = "keep"
    template: _Label | None = None

    def default_lane(self) -> str:
        """Return the lane of calls that name none: as set, else `standard` where it is allowed, else the first."""
        if self.lane is not None:
            return self.lane
        return STANDARD if self.lanes is None or STANDARD in self.lanes else self.lanes[0]

    def key(self, name: str) -> ClientKey:
        """Return what the key stands for."""
        return ClientKey(
            name=name,
            tenant=self.tenant,
            lane=self.default_lane(),
            lanes=tuple(self.lanes or ()),
            models=tuple(self.models),
            inflight_max=self.inflight_max,
            requests_per_minute=self.requests_per_minute,
            deadline_s=self.deadline_s,
            wait_s=self.wait_s,
            on_disconnect=self.on_disconnect,
            template=self.template,
        )


def mistakes_of(where: str, error: ValidationError) -> Iterator[str]:
    """Yield a sentence for each mistake of a table, without a full stop; `where` is the table's path."""
    for found in error.errors(include_url=False, include_input=False):
        yield _sentence(where, found)


def unsecret(name: str) -> str:
    """Return a name for a sentence, unless it could be a key."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return "(a name that may be a key)" if may_be_secret(name) else shown[:NAME_CHARS_MAX] or '""'


def _sentence(where: str, found: ErrorDetails) -> str:
    path = [part for part in found["loc"] if part not in {"HashEntry", "function-before[_listed_hash(), HashEntry]"}]
    at = ".".join([where, *(f"{part}" if isinstance(part, int) else unsecret(part) for part in path)])
    if found["type"] == "missing":
        return f"{at} is missing"
    if found["type"] == "extra_forbidden":
        near = nearest(str(path[-1]), HashEntry.model_fields if len(path) > 1 else KeyTable.model_fields)
        known = listed(HashEntry.model_fields if len(path) > 1 else KeyTable.model_fields)
        return f"{at} is not a member of a key: " + (f"did you mean {near}?" if near else f"there are {known}")
    if found["type"] in {"string_too_short", "too_short"}:
        return f"{at} must not be empty"
    if found["type"] == "value_error":
        return f"{at} {found['ctx']['error']}"
    if found["type"] in {"model_attributes_type", "dict_type"}:
        return f"{at} must be a table"
    return f"{at} must be {_EXPECTED.get(found['type'], 'something else').format(**found.get('ctx', {}))}"
