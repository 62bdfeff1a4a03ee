"""Values that are made anew for every request.

A frozen dataclass sets each of its fields through `object.__setattr__`, which takes four times as long as setting it.
So what is made several times a request is frozen to the type checker, which refuses every assignment, and a plain
slotted dataclass when it runs.
"""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(cls: type[T]) -> type[T]:
    """Make of a class of fields a value: equal and hashed by its fields, and never assigned to."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
