"""The promise, the measurement and the verdict of each row, independent of any page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One figure and its bounds.

    Attributes:
        what: Its name in the table.
        value: As measured; a share is between 0 and 1.
        unit: `ms`, `%` (of a share), `tokens`, `MB`, `times`, or nothing.
        least: Promised at least; None: no such bound.
        most: Promised at most.
    """

    what: str
    value: float
    unit: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the bounds are kept; None where nothing is promised."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def promised(self) -> str:
        """The bounds in words; empty without a promise."""
        bounds = [f"≥ {amount(self.least, self.unit)}"] if self.least is not None else []
        bounds += [f"≤ {amount(self.most, self.unit)}"] if self.most is not None else []
        return f"{self.what} {' and '.join(bounds)}" if bounds else ""

    @property
    def measured(self) -> str:
        """The figure in words."""
        return f"{self.what} {amount(self.value, self.unit)}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row.

    Attributes:
        name: As `--only` takes it.
        title: What is played.
        way: `real`, `virtual` or `core`.
        checks: The figures that are promised, and others beside them.
        rival: The result of another method, in words.
        notes: Other figures, for the file only.
    """

    name: str
    title: str
    way: str
    checks: Sequence[Check]
    rival: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> bool | None:
        """Whether every promise is kept; None where there is none."""
        judged = [check.kept for check in self.checks if check.kept is not None]
        return all(judged) if judged else None

    def as_json(self) -> dict[str, Any]:
        """Return the row for the file of figures."""
        return {
            "name": self.name,
            "title": self.title,
            "way": self.way,
            "kept": self.kept,
            "checks": [
                {
                    "what": check.what,
                    "value": float(f"{check.value:.6g}"),
                    "unit": check.unit,
                    "least": check.least,
                    "most": check.most,
                    "kept": check.kept,
                }
                for check in self.checks
            ],
            "rival": self.rival,
            "notes": dict(self.notes),
        }


def finding_of(told: Mapping[str, Any]) -> Finding:
    """Return the row from the file of figures."""
    checks = [Check(each["what"], each["value"], each["unit"], each["least"], each["most"]) for each in told["checks"]]
    return Finding(told["name"], told["title"], told["way"], checks, told["rival"], told["notes"])


def amount(value: float, unit: str) -> str:
    """Format a figure."""
    if unit == "%":
        return f"{100 * value:.4g} %"
    if unit == "times":
        return f"{value:.3g} times"
    return f"{value:,.0f} {unit}".rstrip() if abs(value) >= 100 else f"{value:.3g} {unit}".rstrip()


def quantile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least `part` of all do not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]
