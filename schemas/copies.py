"""The identity of a request in a header of the copy that the retrier puts back on its lane.

The body of a copy may be unreadable to the dispatcher that takes it: the operator has lowered `input.request_bytes_max`
or `input.nesting_max` while it was parked. Its identity must survive that, or the id would have no outcome ever. The
fingerprint is in it because an id is no secret: only a copy with the same content can fail the parked request.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from headrace.schemas import headers as names
from headrace.schemas.ids import fingerprint, is_valid_id
from headrace.schemas.record import Headers
from headrace.schemas.request import GenerationRequest
from headrace.schemas.request_codec import RUN_MAX

_FORM = re.compile(rb"([0-9a-f]{16}) ([0-9]{1,5}) ([\x20-\x7e]{1,128})")
_ENDPOINT = GenerationRequest.model_fields["endpoint"].default


class StatedIdentity(NamedTuple):
    """Identity in the header: id, run and the fingerprint of tenant, endpoint and body."""

    request_id: str
    run: int
    fingerprint: bytes


def identity_header(request_id: str, run: int, request: Mapping[str, Any]) -> tuple[str, bytes] | None:
    """Build the header for a copy of `request`, the parked JSON object; None if that is no request at all."""
    body, tenant = request.get("body"), request.get("tenant")
    if not isinstance(body, dict) or not is_valid_id(request_id):
        return None
    mark = fingerprint(tenant, request.get("endpoint") or _ENDPOINT, body)
    return names.IDENTITY, f"{mark.hex()} {run} {request_id}".encode()


def stated_identity(headers: Headers) -> StatedIdentity | None:
    """Read the identity that the headers state; None if they state none. Never raises."""
    found = _FORM.fullmatch(dict(headers).get(names.IDENTITY) or b"")
    if found is None or int(found[2]) > RUN_MAX:
        return None
    return StatedIdentity(found[3].decode(), int(found[2]), bytes.fromhex(found[1].decode()))
