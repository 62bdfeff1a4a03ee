"""Identity of a request: its id, the hash of the id in memory and in the ledger, and its fingerprint.

Standard library only, and no clock.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

ID_LENGTH_MAX = 128
_PRINTABLE_ASCII = re.compile(rf"[\x20-\x7e]{{1,{ID_LENGTH_MAX}}}")


def is_valid_id(candidate: str) -> bool:
    """Whether it is 1 to 128 printable ASCII characters."""
    return _PRINTABLE_ASCII.fullmatch(candidate) is not None


def id_hash(request_id: str) -> bytes:
    """Return the 16 bytes that stand for an id in the ledger: BLAKE2b-128 of its UTF-8 bytes."""
    return hashlib.blake2b(request_id.encode(), digest_size=16).digest()


def fingerprint(tenant: str | None, endpoint: str, body: Mapping[str, Any]) -> bytes:
    """Return the 8 bytes that distinguish a resubmission of an id from another request under the same id.

    BLAKE2b-64 of the JSON (sorted keys, no spaces, ASCII escapes) of `[tenant, endpoint, body]`. Lane, deadline and
    metadata may differ between submissions of one request, so they are not in it.
    """
    canonical = json.dumps([tenant, endpoint, body], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=8).digest()


def request_digest(endpoint: str, body: Mapping[str, Any]) -> str:
    """Return the 32 hex digits that identify an outcome's request: equal for equal endpoint and body.

    The tenant is not in it, unlike in the ledger's `fingerprint`.

    BLAKE2b-128 of the JSON (sorted keys, no spaces, ASCII escapes) of `[endpoint, body]`.
    """
    canonical = json.dumps([endpoint, body], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()


def tenant_mark(tenant: str | None) -> bytes:
    """Return the 8 bytes that compare a cancel's tenant with a request's: BLAKE2b-64 of the tenant as JSON."""
    return hashlib.blake2b(json.dumps(tenant).encode(), digest_size=8).digest()


def template_mark(model: str, template: str | None) -> bytes:
    """Return the 8 bytes by which a prompt template used with one model is known: BLAKE2b-64; empty without one."""
    return b"" if not template else hashlib.blake2b(json.dumps([model, template]).encode(), digest_size=8).digest()


def uuid7(unix_ms: int, randomness: bytes) -> str:
    """Build a UUID of version 7 (RFC 9562, section 5.7): 48 bits of milliseconds, then 74 of the 10 bytes' bits."""
    if len(randomness) != 10:
        raise ValueError(f"a UUIDv7 takes 10 random bytes, not {len(randomness)}")
    head, tail = int.from_bytes(randomness[:2]), int.from_bytes(randomness[2:])
    number = (unix_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | (head & 0xFFF) << 64 | 0b10 << 62 | tail & (1 << 62) - 1
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
