"""Ids of files, batches and the requests that a batch's lines become."""

import base64
import hashlib
import os
from collections.abc import Callable
from typing import Final

from headrace.broker.gateway.ids import given_id, internal_id

_RANDOM_BYTES: Final = 15  # 24 letters and digits of base32
_DIGITS_MAX: Final = 6


def new_file_id() -> str:
    """Return an id for an uploaded file."""
    return "file-" + _text(os.urandom(_RANDOM_BYTES))


def new_batch_id() -> str:
    """Return an id for a batch."""
    return "batch_" + _text(os.urandom(_RANDOM_BYTES))


def answers_file_id(batch_id: str, *, is_output: bool) -> str:
    """Return the id of a batch's output or error file; equal at every replica."""
    return "file-" + _text(_digest(f"{batch_id}/{'output' if is_output else 'error'}"))


def answer_id(request_id: str) -> str:
    """Return the id of an answer's line."""
    return "batch_req_" + _text(_digest(request_id))


def _text(data: bytes) -> str:
    return base64.b32encode(data).decode().lower()


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_RANDOM_BYTES).digest()


def line_request_id(tenant: str, batch_id: str, number: int, is_home: Callable[[bytes], bool]) -> str:
    """Return the id of a line's request: `<tenant>/<batch>-<number>-<nonce>`, with the first nonce that brings it home.

    All outcomes of a batch lie in one partition of the results then. The id is the same whenever it is asked for, so a
    line that is submitted again is a duplicate.
    """
    nonce = 0
    while not is_home((request_id := internal_id(tenant, f"{batch_id}-{number}-{nonce}")).encode()):
        nonce += 1
    return request_id


def line_prefix(tenant: str, batch_id: str) -> bytes:
    """Return what the ids of all requests of a batch begin with."""
    return internal_id(tenant, f"{batch_id}-").encode()


def line_number(tenant: str, batch_id: str, request_id: str) -> int | None:
    """Return which line of a batch a request is; None if it is none of the batch's."""
    given = given_id(tenant, request_id)
    if given is None or not given.startswith(f"{batch_id}-"):
        return None
    number, _, nonce = given.removeprefix(f"{batch_id}-").partition("-")
    is_numbered = all(part.isascii() and part.isdigit() and len(part) <= _DIGITS_MAX for part in (number, nonce))
    return int(number) if is_numbered else None
