"""Values that are made anew for every request.

A frozen dataclass sets each of its fields through `object.__setattr__`, which takes four times as long as setting it.
So what is made several times a request is frozen to the type checker, which refuses every assignment, and a plain
slotted dataclass when it runs.

mypyc knows no decorator but `dataclass` itself, and of an unknown one it makes a class whose fields are looked up by
name. So it is told that this is one (`--always-true=COMPILED`, pyproject.toml); at run time it is the same function.
"""

from dataclasses import dataclass
from typing import Final, TypeVar, dataclass_transform

T = TypeVar("T")
COMPILED: Final[bool] = False

if not COMPILED:

    @dataclass_transform(frozen_default=True)
    def value(cls: type[T]) -> type[T]:
        """Make of a class of fields a value: equal and hashed by its fields, and never assigned to."""
        return dataclass(slots=True, unsafe_hash=True)(cls)

else:  # pragma: no cover — for mypyc alone
    from dataclasses import dataclass as value  # type: ignore[assignment]  # noqa: F401
