"""One id for two requests in one file of requests: found before the first line is sent.

Equal lines are one request, which is called once. They may differ in lane, deadline and metadata, as may submissions
of one request.
"""

from typing import Final

from broker.client import Submission
from broker.errors import InvalidRequest

_BITS: Final = 64
_MASK: Final = (1 << _BITS) - 1


class Ids:
    """The ids of a file's lines, each with the request that it is of; some 200 bytes a line."""

    def __init__(self) -> None:
        self._first: dict[str, int] = {}  # by id: the first line's number, in the bits above its request's mark

    def check(self, prepared: Submission, number: int) -> None:
        """Note a line's request, unless it contradicts an earlier one.

        Raises:
            InvalidRequest: A line before it has its id, and another tenant, endpoint or body. It names that line.
        """
        request_id, mark = prepared.request.id, _mark(prepared)
        known = self._first.setdefault(request_id, number << 3 * _BITS | mark)
        if differs := _differences(known, mark):
            raise InvalidRequest(
                f"Line {known >> 3 * _BITS} has the same id {request_id!r} for another request: their "
                f"{' and '.join(differs)} differ. Give one of them another id."
            )


def _mark(prepared: Submission) -> int:
    """Tenant, endpoint and digest, 64 bits of each."""
    mine = prepared.expectation
    digest = int(mine.request_digest or "0", 16)
    return (hash(mine.tenant) & _MASK) << 2 * _BITS | (hash(mine.endpoint) & _MASK) << _BITS | digest & _MASK


def _differences(known: int, mark: int) -> list[str]:
    """In what two requests differ; the digest covers endpoint and body, so bodies of two endpoints are not compared."""
    tenant, endpoint, body = ((known ^ mark) >> place * _BITS & _MASK for place in (2, 1, 0))
    found = ["tenants"] if tenant else []
    return [*found, "endpoints"] if endpoint else [*found, *(["bodies"] if body else [])]
