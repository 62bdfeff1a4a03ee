"""What every group of settings is: frozen, closed to unknown keys, silent about its secrets."""

from typing import Annotated, Any

from pydantic import BaseModel, ByteSize, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Size = Annotated[ByteSize, Field(gt=0)]
"""Bytes: an integer, or text with a unit such as `64MiB` or `900kB`."""

Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


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
                if isinstance(value, bool) and key in cls.model_fields:
                    raise PydanticCustomError("truth_value", "{key}", {"key": key})
        return raw
