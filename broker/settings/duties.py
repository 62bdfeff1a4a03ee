"""Settings of the processes' work: dispatching, input, retries, recognition of repeats."""

from typing import Annotated, Final

from pydantic import AfterValidator, ByteSize, Field, SecretStr

from headrace.broker.settings import secrets
from headrace.broker.settings.group import LIFETIME_MAX_S, Group, Share, Size
from headrace.schemas.bounded_json import NESTING_MAX, VALUES_MAX

TOKEN_CHARS_MIN: Final = 16
TOKEN_CHARS_MAX: Final = 1_024
"""A longer one would not fit into the header of a browser, whose encoding takes a third more, as far as it is read."""


def _check_token(token: SecretStr | None) -> SecretStr | None:
    if token is None:
        return None
    text = secrets.key(token.get_secret_value())
    if len(text) < TOKEN_CHARS_MIN:
        raise secrets.SecretError(f"is shorter than {TOKEN_CHARS_MIN} characters: `openssl rand -hex 24` makes one")
    if len(text) > TOKEN_CHARS_MAX:
        raise secrets.SecretError(f"is longer than {TOKEN_CHARS_MAX:,} characters: `openssl rand -hex 24` makes one")
    return SecretStr(text)


class DispatcherSettings(Group):
    """Dispatcher process. `name` is a label for people; `grace_s` is the time that the platform grants to shut down.

    `http_token` guards the page and the status of dispatchers and retriers alike.
    """

    name: str = Field("default", min_length=1)
    inflight_max: int = Field(512, ge=1, le=10_000)
    http_host: str = "127.0.0.1"
    http_port: int = Field(8080, ge=0, le=65_535)
    http_token: Annotated[SecretStr | None, AfterValidator(_check_token)] = None
    grace_s: int = Field(30, ge=10, le=LIFETIME_MAX_S)
    lease_ttl_s: float = Field(2, ge=2, le=60)
    held_bytes_max: Size = ByteSize(64 * 1024 * 1024)
    transaction_timeout_s: float = Field(15, ge=1, le=900)


class RetrierSettings(Group):
    """Retrier process. Waiting requests are kept in memory up to `held_bytes_max`; further ones are read again.

    A lane takes back at most `fresh_share` of the number of its fresh requests, plus `floor_per_s`. Unused allowance
    expires after ten seconds, so a floor far below one retry in that time would never let a retry through.
    """

    http_host: str = "127.0.0.1"
    http_port: int = Field(8081, ge=0, le=65_535)
    held_bytes_max: Size = ByteSize(32 * 1024 * 1024)
    fresh_share: Share = 0.2
    floor_per_s: float = Field(10, ge=0.2, le=10_000)


class ModelsSettings(Group):
    """Models that producers may ask for, as file name patterns."""

    allow: tuple[str, ...] = Field(("*",), min_length=1)


class ToolsSettings(Group):
    """Tools that producers may ask for besides those that they run themselves, as file name patterns."""

    allow: tuple[str, ...] = Field((), max_length=100)


class RepliesSettings(Group):
    """Topics of producers that a request may name in `reply_to`, by their exact names; none by default."""

    allow: tuple[str, ...] = Field((), max_length=100)


class InputSettings(Group):
    """Limits of a request's size, nesting depth and number of values.

    Readers take 200 levels, and an outcome or a retry adds some around the body. In `values_max` a list or an object
    counts as four values, since it takes more memory than a number.
    """

    request_bytes_max: Size = ByteSize(900_000)
    nesting_max: int = Field(64, ge=4, le=NESTING_MAX)
    values_max: int = Field(VALUES_MAX, ge=1_000, le=10_000_000)


class RetrySettings(Group):
    """Retries. Waits up to `in_place_max_s` stay in the dispatcher; requests with longer ones go to the retrier."""

    in_place_max_s: int = Field(60, ge=1, le=LIFETIME_MAX_S)
    attempts_max: int = Field(8, ge=1, le=100)


class DedupeSettings(Group):
    """Time and number of ids for which a repeated request is recognised."""

    window_s: int = Field(3_600, ge=60, le=LIFETIME_MAX_S)
    ids_max: int = Field(2_000_000, ge=1_000, le=20_000_000)
