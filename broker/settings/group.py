"""The common base of the groups of settings: frozen, closed to unknown keys, and without secrets in errors."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, ByteSize, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from headrace.broker.settings.origins import Path

Size = Annotated[ByteSize, Field(gt=0)]
"""Bytes: an integer, or text with a unit such as `64MiB` or `900kB`."""

Seconds = Annotated[float, Field(gt=0, le=1_000_000)]
LIFETIME_MAX_S: Final = 100 * 365 * 86_400
"""A hundred years.

A longer time ends after the year 9999, which no instant on the wire has, or was meant in milliseconds.
"""
TOKENS_MAX: Final = 10**15
"""A thousand times what any request may cost."""
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Values that are each allowed and do not go together; `keys` are paths below the table that found it."""

    sentence: str
    keys: tuple[Path, ...]


class ContradictionsError(ValueError):
    """The contradictions of a table: everything that it found, not only the first."""

    def __init__(self, *found: Contradiction) -> None:
        super().__init__(found[0].sentence)
        self.found = found


class Group(BaseModel):
    """One table of the settings file.

    A yes or no is refused wherever a number or text is wanted: pydantic would read `true` as 1.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_truth_values(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            for key, value in raw.items():
                field = cls.model_fields.get(key)
                if isinstance(value, bool) and field is not None and field.annotation is not bool:
                    raise PydanticCustomError("truth_value", "{key}", {"key": key})
        return raw
