"""The token that guards page and status: how it is sent, and whether one that was sent is right.

A browser sends it as the password of HTTP Basic, with any user; a script as `Authorization: Bearer`.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import Final

from headrace.broker.settings.whole import Settings

CHALLENGE: Final = 'Basic realm="Headrace: any user, and the token as password", charset="UTF-8"'
_HEADER_CHARS_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class TokenGuard:
    """A token; None admits all."""

    token: str | None = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> "TokenGuard":
        """Return the guard that the settings ask for."""
        token = settings.dispatcher.http_token
        return cls(None if token is None else token.get_secret_value())

    def admits(self, authorization: str | None) -> bool:
        """Return whether a request with this header may see more than probes."""
        if self.token is None:
            return True
        sent = _token_in(authorization or "")
        return hmac.compare_digest(sent, self.token.encode())

    @property
    def header(self) -> dict[str, str]:
        """The header by which we ask another process."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}


OPEN: Final = TokenGuard(None)


def _token_in(authorization: str) -> bytes:
    """Return the token that a header carries; empty where it carries none."""
    scheme, _, rest = authorization[:_HEADER_CHARS_MAX].partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip().encode("utf-8", "surrogateescape")
        case "basic":
            try:
                return base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return b""
    return b""
