"""The text of a key: how one is made, recognised and hashed.

A key is `hr-`, 43 random letters and digits (256 bits) and 6 that check them. The fixed beginning and the checksum let
a secret scanner find a key in a repository without a false alarm, and the gateway tell a key that was cut from one that
it does not know.

The file of keys has SHA-256 of each. A slow hash (bcrypt, Argon2) protects passwords, which can be guessed; 256 random
bits cannot, however fast each guess is, and a slow hash in front of every request would let anyone stop the gateway
with wrong keys.
"""

import hashlib
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Final

PREFIX: Final = "hr-"
HASH_PREFIX: Final = "sha256:"
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARS: Final = 43
"""62 ** 43 is above 2 ** 256."""
_CHECK_CHARS: Final = 6
"""62 ** 6 is above 2 ** 32, the values of a CRC-32."""
PATTERN: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_CHARS + _CHECK_CHARS}}}")
_HASH: Final = re.compile(rf"{HASH_PREFIX}([0-9a-fA-F]{{64}})")
_SECRETIVE: Final = re.compile(r"(?:hr|sk|pk)-[0-9A-Za-z_-]{20,}|[0-9A-Za-z_+/=.-]{36,}")
KEY_CHARS_MIN: Final = 32
KEY_CHARS_MAX: Final = 512


def new_key(choice: Callable[[str], str]) -> str:
    """Make a key.

    Args:
        choice: Picks one character of a text at random, such as `secrets.choice`.
    """
    body = PREFIX + "".join(choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
    return body + _check_of(body)


def is_whole(key: str) -> bool:
    """Whether it has the form of our keys, and its checksum fits."""
    return PATTERN.fullmatch(key) is not None and key[-_CHECK_CHARS:] == _check_of(key[:-_CHECK_CHARS])


def digest_of(key: str) -> bytes:
    """Return the SHA-256 of a key in ASCII."""
    return hashlib.sha256(key.encode("ascii")).digest()


def hash_of(key: str) -> str:
    """Return a key's hash as the file of keys has it: `sha256:` and 64 hex digits."""
    return f"{HASH_PREFIX}{digest_of(key).hex()}"


def digest_in(text: str) -> bytes | None:
    """Return the digest that a hash in the file of keys states; None for anything else."""
    found = _HASH.fullmatch(text)
    return None if found is None else bytes.fromhex(found[1])


def may_be_secret(text: str) -> bool:
    """Whether a text could be a key in clear text, so that no sentence may repeat it."""
    return _SECRETIVE.search(text) is not None


def _check_of(body: str) -> str:
    return "".join(_base62(zlib.crc32(body.encode("ascii")), _CHECK_CHARS))


def _base62(number: int, digits: int) -> Iterator[str]:
    for place in reversed(range(digits)):
        yield _ALPHABET[number // len(_ALPHABET) ** place % len(_ALPHABET)]
