"""Mistakes in the settings, as data: `config check` lists all of them, everything else stops at the first."""

from collections.abc import Callable
from dataclasses import dataclass

from headrace.broker.settings.origins import Path, SettingOrigin


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in the settings.

    Attributes:
        sentence: For the operator, without a full stop; it names the place to look at.
        keys: The settings it is about.
        origins: The places that gave them.
        follows: Whether it may disappear once another mistake about the same keys is corrected.
    """

    sentence: str
    keys: tuple[Path, ...] = ()
    origins: tuple[SettingOrigin, ...] = ()
    follows: bool = False

    def concerns(self, other: Path) -> bool:
        """Return whether one of its keys is `other`, or contains it, or is contained in it."""
        return any(key[: len(other)] == other or other[: len(key)] == key for key in self.keys)


Complain = Callable[[Mistake], None]
"""Called with each mistake as it is found; the caller goes on without the wrong value."""
