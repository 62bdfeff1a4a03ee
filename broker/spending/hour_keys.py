"""Keys of one hour: what an outcome is counted under, so that an hour never has more than a bounded number of sums.

Each kind of name has its places (`headrace.broker.spending.places`). Their combinations are bounded too: beyond
`KEYS_MAX` those of new tenants and templates are counted together, then all, then without model and tier. A combination
that has a sum keeps it, and each threshold is passed once, so a sum that is named is never split.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from headrace.broker.spending.places import LargestNames, Places
from headrace.schemas.spending import OTHERS, SpendingKey

TENANTS_MAX: Final = 500
TEMPLATES_MAX: Final = 200
MODELS_MAX: Final = 100
TIERS_MAX: Final = 16
BANDS_MAX: Final = 16
LANES_MAX: Final = 200
"""Names with sums of their own in an hour. Models and tiers come from requests and answers, so they are bounded too;
more lanes than that have no topics."""
KEYS_MAX: Final = 4_000
"""Combinations in an hour; each takes some 1.5 KB."""
REMEMBERED_MAX: Final = 2 * KEYS_MAX
_NEW_KEYS_MAX: Final = KEYS_MAX * 3 // 4
_KEPT_KEYS_MAX: Final = KEYS_MAX * 9 // 10
_KINDS: Final = {
    "lane": LANES_MAX,
    "model": MODELS_MAX,
    "tenant": TENANTS_MAX,
    "template": TEMPLATES_MAX,
    "tier": TIERS_MAX,
    "band": BANDS_MAX,
}
assert _NEW_KEYS_MAX < _KEPT_KEYS_MAX < KEYS_MAX - LANES_MAX  # noqa: S101 — bounds that depend on each other


class Largest:
    """The largest tenants and templates of the hours so far."""

    def __init__(self) -> None:
        self.tenants = LargestNames(TENANTS_MAX)
        self.templates = LargestNames(TEMPLATES_MAX)

    def add(self, key: SpendingKey, tokens: int) -> None:
        """Count an outcome; without tokens it weighs 1."""
        weight = max(1, tokens)
        if key.tenant:
            self.tenants.add(key.tenant, weight)
        if key.template:
            self.templates.add(key.template, weight)

    def halve(self) -> None:
        """Let an hour pass."""
        self.tenants.halve()
        self.templates.halve()


def _places(largest: Largest) -> dict[str, Places]:
    kept = {"tenant": largest.tenants.top(TENANTS_MAX), "template": largest.templates.top(TEMPLATES_MAX)}
    return {kind: Places(most, kept.get(kind, ())) for kind, most in _KINDS.items()}


@dataclass(slots=True)
class HourKeys:
    """Keys of one hour; `keys` are those that have sums, `placed` remembers what has been decided."""

    places: dict[str, Places]
    keys: set[SpendingKey] = field(default_factory=set)
    placed: dict[SpendingKey, SpendingKey] = field(default_factory=dict)

    @classmethod
    def begin(cls, largest: Largest) -> "HourKeys":
        """Begin an hour; the largest names have their places already."""
        return cls(_places(largest))

    def place(self, key: SpendingKey) -> SpendingKey:
        """Return the key to count under: the same, or a coarser one."""
        if (known := self.placed.get(key)) is not None:
            return known
        if len(self.placed) >= REMEMBERED_MAX:
            self.placed.clear()
        found = self.placed[key] = self._place(key)
        return found

    def _place(self, key: SpendingKey) -> SpendingKey:
        named = SpendingKey(key.hour, *(self.places[kind].place(getattr(key, kind)) for kind in _KINDS))
        for each, keys_max in self._ever_coarser(named):
            if each in self.keys or len(self.keys) < keys_max:
                self.keys.add(each)
                return each
        raise AssertionError("the last key is always possible")

    def _ever_coarser(self, key: SpendingKey) -> tuple[tuple[SpendingKey, int], ...]:
        kept = self.places["tenant"].is_kept(key.tenant) and self.places["template"].is_kept(key.template)
        unnamed = replace(key, tenant=OTHERS, template=OTHERS)
        return (
            (key, _KEPT_KEYS_MAX if kept else _NEW_KEYS_MAX),
            (unnamed, KEYS_MAX - LANES_MAX),
            (SpendingKey(key.hour, key.lane, OTHERS, OTHERS, OTHERS, OTHERS, ""), KEYS_MAX),
        )
