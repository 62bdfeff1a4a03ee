"""What a process shows of itself, as JSON text that can always be written, whatever stands in it.

Names come from producers and figures from answers. Half a surrogate pair cannot be encoded, an integer of more than
4,300 digits cannot be printed, and JSON has no word for nan: each would take the whole status away.
"""

import json
import math
from typing import Any, Final

INTEGER_MAX: Final = 10**15
_DEPTH_MAX: Final = 20


def json_text(told: Any) -> str:
    """The text; never raises."""
    try:
        text = json.dumps(told, ensure_ascii=False, allow_nan=False)
        text.encode()
    except Exception:  # noqa: BLE001 — of any kind: the other form has none of it
        return json.dumps(_presentable(told, _DEPTH_MAX))
    return text


def _presentable(value: Any, depth: int) -> Any:
    """The same with what cannot be written cut, replaced or left out."""
    if isinstance(value, dict) and depth:
        return {_text(str(name)): _presentable(each, depth - 1) for name, each in value.items()}
    if isinstance(value, list | tuple) and depth:
        return [_presentable(each, depth - 1) for each in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return max(-INTEGER_MAX, min(value, INTEGER_MAX))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _text(value) if isinstance(value, str) else type(value).__name__


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()
