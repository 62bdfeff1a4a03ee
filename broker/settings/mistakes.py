"""What is wrong with the settings, as data: `config check` lists it all, everything else stops at the first."""

from collections.abc import Callable
from dataclasses import dataclass

from broker.settings.origins import Origin, Path


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to mend.

    Attributes:
        sentence: for a person, without a full stop; it names the place to look at.
        keys: the settings it is about.
        origins: the places that gave them.
        follows: whether it may vanish by itself once another mistake about the same keys is mended.
    """

    sentence: str
    keys: tuple[Path, ...] = ()
    origins: tuple[Origin, ...] = ()
    follows: bool = False

    def concerns(self, other: Path) -> bool:
        """Whether one of its keys is `other`, or holds it, or stands in it."""
        return any(key[: len(other)] == other or other[: len(key)] == key for key in self.keys)


Complain = Callable[[Mistake], None]
"""Told of each mistake as it is found; whoever tells goes on without what was wrong."""
