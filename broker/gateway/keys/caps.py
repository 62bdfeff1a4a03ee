"""Caps of each key at one replica: calls in flight, and calls per minute.

They keep one client's mistake, such as a loop without a pause, from filling the gateway; the tokens of a tenant are
shared and capped by the dispatcher. Memory is bounded: an entry lasts as long as it says something, so that those of
removed keys vanish, and there are never more than one for each key that was used within the last minutes.
"""

from dataclasses import dataclass
from typing import Final

from headrace.broker.gateway.keys.key import ClientKey
from headrace.broker.gateway.keys.refusals import CapReachedError

MINUTE_S: Final = 60.0
INFLIGHT_RETRY_S: Final = 1.0
"""When a call ends is not known; a second costs a client little, and the gateway one refusal."""
_ROUNDING_S: Final = 1e-6


@dataclass(slots=True)
class _Usage:
    """Use of one key.

    Attributes:
        inflight: Calls that have entered and not left.
        paid_until_s: Token bucket as a time: when it will be full again (the theoretical arrival time of GCRA). A
            change of the rate needs no conversion of tokens.
    """

    inflight: int = 0
    paid_until_s: float = 0.0


class Caps:
    """Use of all keys. Times are seconds of one clock that is never set back, such as the event loop's."""

    def __init__(self) -> None:
        """Begin with no call in flight and all buckets full."""
        self._used: dict[str, _Usage] = {}
        self._swept_s = float("-inf")

    def __len__(self) -> int:
        """Return the number of keys that are remembered."""
        return len(self._used)

    def inflight(self, key: ClientKey) -> int:
        """Return the number of a key's calls in flight."""
        used = self._used.get(key.name)
        return 0 if used is None else used.inflight

    def enter(self, key: ClientKey, now_s: float) -> None:
        """Count a call that begins; `leave` must follow. Up to a minute's calls may come at once.

        Raises:
            CapReachedError: A cap of the key is reached; the call counts for neither.
        """
        self._sweep(now_s)
        used = self._used.get(key.name) or _Usage()
        if key.inflight_max is not None and used.inflight >= key.inflight_max:
            message = f"This API key has {used.inflight} calls in flight, and may have {key.inflight_max}."
            raise CapReachedError(message, cap="inflight_max", retry_after_s=INFLIGHT_RETRY_S)
        if key.requests_per_minute is not None:
            interval_s = MINUTE_S / key.requests_per_minute
            paid_until_s = max(used.paid_until_s, now_s) + interval_s
            early_s = paid_until_s - now_s - MINUTE_S
            if early_s > _ROUNDING_S:
                message = f"This API key may make {key.requests_per_minute} calls per minute."
                raise CapReachedError(message, cap="requests_per_minute", retry_after_s=early_s)
            used.paid_until_s = paid_until_s
        used.inflight += 1
        self._used[key.name] = used

    def leave(self, key: ClientKey) -> None:
        """Count a call that ends, once for each `enter` that returned.

        Raises:
            ValueError: No call of the key is in flight.
        """
        used = self._used.get(key.name)
        if used is None or used.inflight == 0:
            raise ValueError(f"no call of the key {key.name} is in flight")
        used.inflight -= 1
        if used.inflight == 0 and used.paid_until_s == 0:
            del self._used[key.name]

    def _sweep(self, now_s: float) -> None:
        """Forget once a minute what says nothing: no call in flight, and a full bucket."""
        if now_s < self._swept_s + MINUTE_S:
            return
        self._swept_s = now_s
        for name, used in list(self._used.items()):
            if used.inflight == 0 and used.paid_until_s <= now_s:
                del self._used[name]
