"""Signatures by the Standard Webhooks scheme, so that a receiver can check them with a library it already has.

Signed is `{webhook-id}.{webhook-timestamp}.{body}`, by HMAC-SHA256. An id made by `webhook_id` contains no full stop,
so that no part of one field can be taken for a part of the next.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

_PREFIX = "whsec_"
_SECRET_BYTES_MIN = 24


def secret_of(text: str) -> bytes:
    """Return the key of a secret in its usual form: `whsec_` and base64.

    Raises:
        ValueError: It is not base64, or shorter than 24 bytes.
    """
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a secret is `whsec_` and base64") from None
    if len(secret) < _SECRET_BYTES_MIN:
        raise ValueError(f"a secret has at least {_SECRET_BYTES_MIN} bytes")
    return secret


def webhook_id(request_id: str, run: int) -> str:
    """Return the id of an outcome's delivery: the same at every attempt, another for every (id, run)."""
    return "msg_" + hashlib.sha256(f"{request_id}\0{run}".encode()).hexdigest()[:32]


def signed_headers(secrets: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Return the three headers; each secret signs, so that a receiver may change from an old one to a new one."""
    signed = b".".join((message_id.encode(), str(timestamp_s).encode(), body))
    signatures = [base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
