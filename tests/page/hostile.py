"""Documents that no dispatcher should send, by seed: figures of any type and size, names that would act, parts gone."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any, Final

NAMES: Final = (
    "<img src=x onerror=hurt=1>",
    "</script><script>hurt=1</script>",
    '"><svg onload=hurt=1>',
    "__proto__",
    "constructor",
    "toString",
    "",
    "\u202egpj.exe",
    "\ud800",
    "a" * 5_000,
    "漢字" * 60,
    "%s {x} ${hurt=1}",
    "x\r\n\r\nevent: status",
    "javascript:hurt=1",
)
VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    1e308,
    -1e308,
    10**400,
    0.1,
    "",
    "many",
    [],
    {},
    [[]],
    [None] * 200,
    {"a": {"b": {"c": 3}}},
    *NAMES,
)


def hostile_document(usual: dict[str, Any], dice: random.Random) -> str:
    """Return a document as JSON: the usual one, spoilt in some places, or something else altogether."""
    if dice.random() < 0.05:
        return json.dumps(dice.choice(VALUES))
    told = copy.deepcopy(usual)
    told.setdefault("page", {"flow": "flows", "sentence": "s", "findings": [{"grave": True, "sentence": "x"}]})
    for _ in range(dice.randint(1, 25)):
        _spoil(told, dice)
    if dice.random() < 0.3:
        told["unshown"] = [dice.choice(NAMES), dice.choice(VALUES)]
    return json.dumps(told)


def _spoil(told: Any, dice: random.Random) -> None:
    """Change one place, at any depth."""
    while True:
        keys: list[Any] = list(told) if isinstance(told, dict) else list(range(len(told)))
        if not keys:
            return
        key = dice.choice(keys)
        below = told[key]
        if isinstance(below, dict | list) and below and dice.random() < 0.75:
            told = below
            continue
        _CHANGES[dice.randrange(len(_CHANGES))](told, key, dice)
        return


def _replace(told: Any, key: Any, dice: random.Random) -> None:
    told[key] = copy.deepcopy(dice.choice(VALUES))


def _remove(told: Any, key: Any, _: random.Random) -> None:
    del told[key]


def _rename(told: Any, key: Any, dice: random.Random) -> None:
    if isinstance(told, dict):
        told[dice.choice(NAMES)] = told.pop(key)


def _multiply(told: Any, key: Any, dice: random.Random) -> None:
    if isinstance(told, dict):
        for number in range(dice.choice((3, 40))):
            told[f"{dice.choice(NAMES)[:40]}{number}"] = copy.deepcopy(told[key])
    else:
        told.extend(copy.deepcopy(told[:5]) * 8)


_CHANGES: Final[tuple[Callable[[Any, Any, random.Random], None], ...]] = (_replace, _remove, _rename, _multiply)
