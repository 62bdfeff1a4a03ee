"""What a planted fault is: a patch of the product, its name, and the promises that it breaks."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

Plant = Callable[[], AbstractContextManager[object]]
ORDER = "order"
"""Under "Not promised": requests of one ordering key *start* in order, and a serial lane keeps it to the end."""
WAITS = "waits"
"""Under "Not promised": a parked request does not come back before it is due."""
REFUSALS = "429s"
"""Under "Not promised": a 429 has a cause outside: the level handed on is true, and no call leaves without tokens."""
MEMORY = "memory"
"""However long a process runs, nothing of a settled request stays in it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted fault.

    Attributes:
        name: As `--only` takes it.
        breaks: Numbers of promises, beginnings of rows of the table of failures, or one of the words above.
        plant: Patches the product.
        tells: What goes wrong.
    """

    name: str
    breaks: tuple[str | int, ...]
    plant: Plant
    tells: str


def planted(*breaks: str | int) -> Callable[[Plant], Mutant]:
    """Make a mutant of a function that patches the product; its docstring says what goes wrong."""

    def named(plant: Plant) -> Mutant:
        return Mutant(plant.__name__.replace("_", " "), breaks, plant, plant.__doc__ or "")

    return named
