"""Why a call with a key is not taken: the key is no good, or one of its caps is reached."""

from enum import StrEnum
from typing import Final


class KeyFault(StrEnum):
    """What is wrong with a key that a request shows."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"


_SENTENCES: Final = {
    KeyFault.MISSING: "The request has no API key: send `Authorization: Bearer KEY` with a key of this gateway.",
    KeyFault.MALFORMED: "The API key cannot be read: send `Authorization: Bearer KEY` with a key of this gateway, "
    "whole and without quotation marks.",
    KeyFault.UNKNOWN: "The API key is not known here: this gateway has keys of its own, and no key of OpenAI's is one.",
    KeyFault.EXPIRED: "The API key has expired: ask the operator of this gateway for a new one.",
}


class KeyRefusedError(Exception):
    """A request shows no key that may be used. As text it is a sentence for the client, without the key."""

    def __init__(self, fault: KeyFault) -> None:
        super().__init__(_SENTENCES[fault])
        self.fault = fault


class CapReachedError(Exception):
    """A key has reached one of its caps at this replica.

    Attributes:
        cap: The member of the key file that sets it.
        retry_after_s: When another attempt makes sense.
    """

    def __init__(self, message: str, *, cap: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.cap = cap
        self.retry_after_s = retry_after_s
