"""A behaviour, the bounds stated at its fields, and the sentences that refuse a number outside them."""

from dataclasses import dataclass, field, fields
from typing import Any


def between(name: str, value: float, least: float, most: float | None = None) -> None:
    """Refuse a value outside the bounds, which are included; None: there is no upper one.

    Raises:
        ValueError: with a sentence for a person.
    """
    if most is None and value < least:
        raise ValueError(f"{name} is at least {least:g}, not {value:g}")
    if most is not None and not least <= value <= most:
        raise ValueError(f"{name} is between {least:g} and {most:g}, not {value:g}")


def bounded(usual: float | None, least: float | str, most: float | None = None) -> Any:
    """Make a field with its usual value and its bounds, as `between`; a `least` that is a name: that field's value."""
    return field(default=usual, metadata={"bounds": (least, most)})


def share(usual: float) -> Any:
    """Make a field that holds a share of a whole."""
    return bounded(usual, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Behaviour whose numbers lie within the bounds of their fields; a field may be None if it usually is."""

    def __post_init__(self) -> None:
        """Check every field. A subclass calls this by name: `super()` does not find its way through slots."""
        for each in fields(self):
            value, (least, most) = getattr(self, each.name), each.metadata.get("bounds", (None, None))
            if least is not None and (value is not None or each.default is not None):
                between(each.name, value, getattr(self, least) if isinstance(least, str) else least, most)
