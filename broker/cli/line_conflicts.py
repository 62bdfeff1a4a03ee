"""Check for one id that stands for two requests in one file, made before the first line is sent.

Lines with equal requests are one request, which is called once. They may differ in lane, deadline and metadata, as
submissions of one request may.
"""

from typing import Final

from headrace.broker.client import Submission
from headrace.broker.errors import InvalidRequest

_BITS: Final = 64
_MASK: Final = (1 << _BITS) - 1


class Ids:
    """The ids of a file's lines, each with a mark of its request; about 200 bytes a line."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}  # by id: the number of its first line, in the bits above the request's mark

    def check(self, prepared: Submission, number: int) -> None:
        """Record a line's request, unless it contradicts an earlier one.

        Raises:
            InvalidRequest: An earlier line has the same id, and another tenant, endpoint or body. The message names
                that line.
        """
        request_id, mark = prepared.request.id, _mark(prepared)
        known = self._first.setdefault(request_id, number << 3 * _BITS | mark)
        if differs := _differences(known, mark):
            raise InvalidRequest(
                f"Line {known >> 3 * _BITS} has the same id {request_id!r} for another request: their "
                f"{' and '.join(differs)} differ. Give one of them another id."
            )


def _mark(prepared: Submission) -> int:
    """Pack tenant, endpoint and digest into one number, 64 bits each."""
    mine = prepared.expectation
    digest = int(mine.request_digest or "0", 16)
    return (hash(mine.tenant) & _MASK) << 2 * _BITS | (hash(mine.endpoint) & _MASK) << _BITS | digest & _MASK


def _differences(known: int, mark: int) -> list[str]:
    """Name the differences of two requests; bodies count only at one endpoint, since the digest covers both."""
    tenant, endpoint, body = ((known ^ mark) >> place * _BITS & _MASK for place in (2, 1, 0))
    found = ["tenants"] if tenant else []
    return [*found, "endpoints"] if endpoint else [*found, *(["bodies"] if body else [])]
