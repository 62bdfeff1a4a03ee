"""When the requests that this leader has parked come back: told to whoever asks about one.

The failures topic and the retrier know it for all of them; the core needs it for none. So this is a courtesy of bounded
size, which a successor begins anew.
"""

from collections import OrderedDict
from datetime import datetime
from typing import Final

KEPT_MAX: Final = 50_000


class Parkings:
    """The last ones, by the hash of their ids."""

    def __init__(self) -> None:
        """Nothing was parked."""
        self._back: OrderedDict[bytes, tuple[int, datetime]] = OrderedDict()

    def parked(self, id_hash: bytes, run: int, back_at: datetime) -> None:
        """A request is in the failures topic until then."""
        self._back.pop(id_hash, None)
        self._back[id_hash] = run, back_at
        if len(self._back) > KEPT_MAX:
            self._back.popitem(last=False)

    def back_at(self, id_hash: bytes, run: int) -> datetime | None:
        """When it comes back to its lane; None: another leader has parked it, or many others were parked since."""
        found = self._back.get(id_hash)
        return found[1] if found is not None and found[0] == run else None
