"""Decorator for value classes that are instantiated for every request.

A frozen dataclass sets each of its fields through `object.__setattr__`, which takes four times as long as assignment.
So classes instantiated several times a request are frozen only for the type checker, which refuses every assignment; at
run time they are plain slotted dataclasses.

mypyc knows no decorator but `dataclass` itself; a class with an unknown one is compiled so that its fields are looked
up by name. So mypyc is told that this is `dataclass` (`--always-true=COMPILED`, pyproject.toml); at run time it is the
same function.
"""

from dataclasses import dataclass
from typing import Final, TypeVar, dataclass_transform

T = TypeVar("T")
COMPILED: Final[bool] = False

if not COMPILED:

    @dataclass_transform(frozen_default=True)
    def value(cls: type[T]) -> type[T]:
        """Make a class of fields a value class: equal and hashed by its fields, and never assigned to."""
        return dataclass(slots=True, unsafe_hash=True)(cls)

else:  # pragma: no cover — for mypyc alone
    from dataclasses import dataclass as value  # type: ignore[assignment]  # noqa: F401
