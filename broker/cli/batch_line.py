"""Input lines of OpenAI's Batch API, translated into requests of Headrace.

`custom_id` becomes the id and `url` the endpoint; the body stays as it is, and Headrace's own fields (`lane`, `tenant`,
`deadline`, …) may stand beside them. Nothing is dropped: a field that has no meaning here is refused by name.
Source: https://platform.openai.com/docs/guides/batch (lines of the input file).
"""

from collections.abc import Mapping
from typing import Any, Final

from headrace.broker.core.endpoints import ENDPOINT_TABLE
from headrace.broker.errors import InvalidRequest
from headrace.schemas.complaint import kind_of, must_be_one_of
from headrace.schemas.ids import ID_LENGTH_MAX, is_valid_id
from headrace.schemas.nearest import listed, shown

MARKS: Final = ("custom_id", "method", "url")
_METHOD: Final = "POST"
_BY_URL: Final = {f"/v1{facts.path}": name for name, facts in ENDPOINT_TABLE.items()}
_OURS: Final = {"custom_id": "id", "url": "endpoint"}


def translated(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request; the fields of a line that is not a Batch line are returned unchanged.

    Raises:
        InvalidRequest: The line says something that a request of Headrace cannot express.
    """
    own = dict(fields)
    if not any(mark in own for mark in MARKS):
        return own
    if "response" in own:
        raise InvalidRequest(
            "It is from the output of a Batch and holds an answer: submit the lines of the input file."
        )
    for batch, ours in _OURS.items():
        if batch in own and ours in own:
            raise InvalidRequest(
                f"It has both {batch}, of OpenAI's Batch format, and {ours}, of Headrace's: leave one out."
            )
        if batch not in own:
            raise InvalidRequest(
                f"It has {listed([mark for mark in MARKS if mark in own])}, of OpenAI's Batch format, but no "
                f"{batch}: add it, or write id, endpoint and body instead."
            )
    _check_method(own.pop("method", _METHOD))
    return {"id": _id(own.pop("custom_id")), "endpoint": _endpoint(own.pop("url")), **own}


def _check_method(method: object) -> None:
    if method != _METHOD:
        said = shown(method) if isinstance(method, str) else kind_of(method)
        raise InvalidRequest(f"The field method is not valid: it must be {_METHOD}, not {said}.")


def _id(custom_id: object) -> str:
    if isinstance(custom_id, str) and is_valid_id(custom_id):
        return custom_id
    told = "" if isinstance(custom_id, str) else f", not {kind_of(custom_id)}"
    raise InvalidRequest(
        f"The field custom_id is not valid: it must be text of 1 to {ID_LENGTH_MAX} printable ASCII characters{told}."
    )


def _endpoint(url: object) -> str:
    if isinstance(url, str) and url in _BY_URL:
        return _BY_URL[url]
    raise InvalidRequest(f"The field url is not valid: {must_be_one_of(_BY_URL, url)}.")
