"""Hostile producers: records that no client of ours would write, as `tests.hostile.records` draws them.

Left out are kinds that are odd by their size alone, which cost a run a second, and such for models that no simulated
OpenAI has. What each must come to stands beside it, and `hostile_records_end_as_they_say` looks.
"""

import base64
import json
from random import Random
from typing import Any, Final

from tests.hostile.records import ANSWERED, NAMES, Specimen, specimen

PREFIX: Final = "odd"
COSTLY: Final = frozenset(
    {
        "bomb",
        "bomb with an id",
        "too deep with an id",
        "text of commas",
        "token numbers",
        "too heavy key",
        "too heavy headers",
        "heavy header",
        "long trace",
        "many headers",
        "too many headers",
    }
)
KINDS: Final = tuple(name for name in NAMES if name not in COSTLY)
RECORDS: Final = (3, 8, 15)


def drawn(seed: int) -> list[Specimen]:
    """The hostile records of a run."""
    dice = Random(f"strangers {seed}")
    return [specimen(dice, number, prefix=PREFIX, kinds=KINDS) for number in range(dice.choice(RECORDS))]


def is_strange(name: str) -> bool:
    """Whether an id is that of a hostile record."""
    return name.startswith(f"{PREFIX}-")


def body_of(hostile: Specimen) -> str | None:
    """What one that is answered asks for, as text; None of any other."""
    if hostile.fate != ANSWERED:
        return None
    asked: Any = json.loads(hostile.value or b"")
    data = asked.get("data") or asked
    if "data_base64" in asked:
        data = json.loads(base64.b64decode(asked["data_base64"]))
    return json.dumps(data["body"], sort_keys=True)
