"""Times at which the requests that this leader has parked come back, for status queries.

The failures topic and the retrier know them for all requests; the core needs them for none. So this is a convenience of
bounded size, which a successor begins anew.
"""

from collections import OrderedDict
from datetime import datetime
from typing import Final

KEPT_MAX: Final = 50_000


class Parkings:
    """The most recently parked requests, by the hash of their ids."""

    def __init__(self) -> None:
        """Nothing was parked."""
        self._back: OrderedDict[bytes, tuple[int, datetime]] = OrderedDict()

    def record(self, id_hash: bytes, run: int, back_at: datetime) -> None:
        """Note that a request is in the failures topic until then."""
        self._back.pop(id_hash, None)
        self._back[id_hash] = run, back_at
        if len(self._back) > KEPT_MAX:
            self._back.popitem(last=False)

    def back_at(self, id_hash: bytes, run: int) -> datetime | None:
        """Return when it comes back to its lane; None: another leader parked it, or many others were parked since."""
        found = self._back.get(id_hash)
        return found[1] if found is not None and found[0] == run else None
