"""What the model wrote in a whole answer, of a chat completion or a response. Nothing here raises for any JSON."""

from collections.abc import Iterator, Mapping
from typing import Any


def text_of_answer(response: Mapping[str, Any]) -> str | None:
    """Return the text; "" if the model wrote none (it called tools, or declined), None if such answers have no text.

    Of a chat completion it is the text of the first choice; of a response, all its `output_text` parts together, as in
    the SDK's `output_text`.
    """
    if isinstance(response.get("choices"), list):
        content = _message(response).get("content")
        return content if isinstance(content, str) else "".join(_texts(content, "text", "text"))
    if isinstance(response.get("output"), list):
        return "".join(
            text for item in _items(response["output"]) for text in _texts(item.get("content"), "output_text", "text")
        )
    return None


def refusal_of_answer(response: Mapping[str, Any]) -> str | None:
    """Return the text with which the model declined; None if it did not."""
    if isinstance(response.get("choices"), list):
        refusal = _message(response).get("refusal")
        return refusal if isinstance(refusal, str) and refusal else None
    items = _items(response.get("output"))
    return next((text for item in items for text in _texts(item.get("content"), "refusal", "refusal")), None)


def _message(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the message of the first choice, by its `index` if it has one."""
    choices = list(_items(response["choices"]))
    first = next((each for each in choices if each.get("index") == 0), choices[0] if choices else {})
    message = first.get("message")
    return message if isinstance(message, dict) else {}


def _texts(parts: Any, kind: str, member: str) -> Iterator[str]:
    for part in _items(parts):
        if part.get("type") == kind and isinstance(part.get(member), str):
            yield part[member]


def _items(value: Any) -> Iterator[dict[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())
