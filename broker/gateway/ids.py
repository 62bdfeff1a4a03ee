"""Ids of the gateway's requests: a tenant's name in front of each, so that equal ids of two tenants never meet.

A given id is one that a client chose (`x-headrace-id`, `Idempotency-Key`). An internal id is the one in Kafka:
`<tenant>/<given>`. A tenant's name has no slash, so an internal id has one reading. A given id that would not fit into
an internal one, or that begins as a digest does, is replaced by its digest, which any gateway computes alike.
"""

import base64
import hashlib
import re
from typing import Final

from headrace.schemas.ids import ID_LENGTH_MAX, is_valid_id

TENANT_LENGTH_MAX: Final = 40
_TENANT: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{TENANT_LENGTH_MAX}}}")
_DIGEST_MARK: Final = "~"


def is_tenant_name(candidate: str) -> bool:
    """Whether a key may name it as its tenant: 1 to 40 letters, digits, dots, underscores and hyphens."""
    return _TENANT.fullmatch(candidate) is not None


def internal_id(tenant: str, given: str) -> str:
    """Return the id in Kafka of a client's id; equal for equal arguments, and only for these."""
    whole = f"{tenant}/{given}"
    if given and len(whole) <= ID_LENGTH_MAX and is_valid_id(whole) and not given.startswith(_DIGEST_MARK):
        return whole
    digest = hashlib.blake2b(given.encode("utf-8", "surrogatepass"), digest_size=20).digest()
    return f"{tenant}/{_DIGEST_MARK}{base64.b32encode(digest).decode().lower()}"


def given_id(tenant: str, internal: str) -> str | None:
    """Return a tenant's own name of an internal id; None if the id is another tenant's, or none of the gateway's."""
    owner, slash, given = internal.partition("/")
    return given if slash and owner == tenant else None
