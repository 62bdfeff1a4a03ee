"""The JSON of an answered call, in OpenAI's form: chat.completion, response and a list of embeddings."""

import base64
import json
import random
import re
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from headrace.broker.simulator.filler_text import write_email
from headrace.broker.simulator.pricing import Endpoint, input_tokens_of, text_of
from headrace.broker.simulator.prompt_cache import NOTHING_CACHED, CacheUse

CHOICES_MAX: Final = 128  # OpenAI's bound on `n`
DIMENSIONS_DEFAULT: Final = 1_536
DIMENSIONS_MAX: Final = 3_072
DECLINED: Final = "I'm sorry, but I can't help with that."

_TIERS: Final = frozenset({"default", "fast", "flex", "priority", "scale", "ultrafast"})
_DATED: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$|-\d{4}$")
_SNAPSHOTS: Final = {
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "gpt-4": "gpt-4-0613",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
}


@dataclass(frozen=True, slots=True)
class AnswerIngredients:
    """Ingredients of an answer: `seed` decides the words, `serial` identifies the call, `declined` refuses it.

    `stored_tokens` are those of the input that its body only names, `image_tokens` those of its pictures (None: not
    counted apart), `tier` the one that serves it.
    """

    body: Mapping[str, Any]
    model: str
    seed: int
    serial: str
    declined: bool = False
    stored_tokens: int = 0
    cache: CacheUse = NOTHING_CACHED
    image_tokens: int | None = None
    tier: str = "default"

    def input_details(self) -> dict[str, int]:
        """Return what the usage says of parts of the input."""
        told = {
            "cached_tokens": self.cache.cached,
            "cache_write_tokens": self.cache.written,
            "image_tokens": self.image_tokens,
        }
        return {name: count for name, count in told.items() if count is not None}


def snapshot_of(model: str) -> str:
    """Return the dated name an answer carries; an unknown model keeps its own."""
    return _SNAPSHOTS.get(model, model)


@lru_cache(maxsize=1_000)
def limit_name_of(model: str) -> str:
    """Return the model that owns the bucket: a dated snapshot draws from the undated one."""
    return _DATED.sub("", model)


def answer_body(endpoint: Endpoint, answer: AnswerIngredients) -> dict[str, Any]:
    """Build the body of a 200."""
    match endpoint:
        case Endpoint.CHAT:
            return _chat_completion(answer)
        case Endpoint.RESPONSES:
            return _response(answer)
        case Endpoint.EMBEDDINGS:
            return _embeddings(answer)


def _chat_completion(answer: AnswerIngredients) -> dict[str, Any]:
    body = answer.body
    prompt = text_of(Endpoint.CHAT, body)
    n = body.get("n")
    choices = min(n, CHOICES_MAX) if isinstance(n, int) and n > 0 else 1
    cap = body.get("max_completion_tokens") or body.get("max_tokens")
    texts = [
        (DECLINED, False) if answer.declined else _copy(prompt, answer.seed + index, cap, _wants_json(body))
        for index in range(choices)
    ]
    prompt_tokens = input_tokens_of(Endpoint.CHAT, body) + answer.stored_tokens
    completion_tokens = sum(_tokens(text) for text, _ in texts)
    return {
        "id": f"chatcmpl-{answer.serial}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": snapshot_of(answer.model),
        "choices": [
            {
                "index": index,
                "message": {
                    "role": "assistant",
                    "content": None if answer.declined else text,
                    "refusal": text if answer.declined else None,
                    "annotations": [],
                },
                "logprobs": None,
                "finish_reason": "length" if cut else "stop",
            }
            for index, (text, cut) in enumerate(texts)
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_tokens_details": {**answer.input_details(), "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": answer.tier,
        "system_fingerprint": "fp_5ca1ab1e00",
    }


def tier_for(body: Mapping[str, Any]) -> str:
    """Return the tier that serves a call: the one it names; `default` for `auto` and for unknown names."""
    asked = body.get("service_tier")
    return asked if isinstance(asked, str) and asked in _TIERS else "default"


def _response(answer: AnswerIngredients) -> dict[str, Any]:
    body = answer.body
    cap = body.get("max_output_tokens")
    text, cut = _copy(text_of(Endpoint.RESPONSES, body), answer.seed, cap, False)
    part: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
    if answer.declined:
        text, cut, part = DECLINED, False, {"type": "refusal", "refusal": DECLINED}
    input_tokens = input_tokens_of(Endpoint.RESPONSES, body) + answer.stored_tokens
    output_tokens = _tokens(text)
    status = "incomplete" if cut else "completed"
    return {
        "id": f"resp_{answer.serial}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": cap,
        "model": snapshot_of(answer.model),
        "output": [
            {
                "id": f"msg_{answer.serial}",
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [part],
            }
        ],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "service_tier": answer.tier,
        "store": body.get("store") is not False,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "truncation": "disabled",
        "usage": {
            "input_tokens": input_tokens,
            "input_tokens_details": answer.input_details(),
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input_tokens + output_tokens,
        },
        "metadata": {},
    }


def _embeddings(answer: AnswerIngredients) -> dict[str, Any]:
    given = answer.body.get("input")
    batch = isinstance(given, list) and not all(isinstance(item, int) for item in given)
    inputs = given if batch and isinstance(given, list) else [given]
    wanted = answer.body.get("dimensions")
    dimensions = min(wanted, DIMENSIONS_MAX) if isinstance(wanted, int) and wanted > 0 else DIMENSIONS_DEFAULT
    packed = answer.body.get("encoding_format") == "base64"
    tokens = input_tokens_of(Endpoint.EMBEDDINGS, answer.body)
    vectors = [_vector(answer.seed + index, dimensions) for index in range(len(inputs))]
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": answer.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _copy(prompt: str, seed: int, cap: Any, as_json: bool) -> tuple[str, bool]:  # noqa: FBT001 -- private, two callers
    """Return the text and whether `cap` tokens cut it short."""
    email = write_email(prompt, seed)
    text = json.dumps({"subject": email.subject, "body": "\n\n".join(email.paragraphs)}) if as_json else email.text
    if isinstance(cap, int) and 0 < cap < _tokens(text):
        return text.encode(errors="replace")[: cap * 4].decode(errors="ignore"), True
    return text, False


def _wants_json(body: Mapping[str, Any]) -> bool:
    wanted = body.get("response_format")
    return isinstance(wanted, Mapping) and wanted.get("type") in {"json_object", "json_schema"}


def _tokens(text: str) -> int:
    return -(-len(text.encode(errors="replace")) // 4)


def _vector(seed: int, dimensions: int) -> list[float]:
    chance = random.Random(seed)
    scale = (3 / dimensions) ** 0.5  # a uniform vector of this scale has length about 1
    return [round(chance.uniform(-scale, scale), 8) for _ in range(dimensions)]


def _packed(vector: list[float]) -> str:
    """Pack as little-endian 32-bit floats in base64, the SDK's default format."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
