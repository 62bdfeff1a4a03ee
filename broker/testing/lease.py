"""In-memory lease without a Redis: processes of a test share one store with a clock that the test moves."""

from collections.abc import Callable

from headrace.broker.adapters.redis.lifetimes import NOTE_MS, STATUS_KEPT_MS, STATUS_LIVE_MS
from headrace.broker.core.config import LEASE_MS_MAX
from headrace.broker.core.lease import RELEASED
from headrace.broker.errors import LeaseUnavailable
from headrace.broker.ports import LeaseForeign, LeaseMine, LeaseTaken, LeaseView
from headrace.broker.status_ports import Reported


class MemoryLeaseStore:
    """Content of a Redis. `available` is False while Redis is away; `wakes` counts released leases."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.now_ms = now_ms
        self.available = True
        self.wakes = 0
        self._entries: dict[str, tuple[str, int | None]] = {}

    def get(self, key: str) -> tuple[str, int | None] | None:
        """Return the value at `key` and its remaining life in ms, if it has one; None if absent or expired."""
        if not self.available:
            raise LeaseUnavailable("Redis does not answer: it is away.")
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, until_ms = entry
        if until_ms is None:
            return value, None
        if until_ms <= self.now_ms():
            del self._entries[key]
            return None
        return value, until_ms - self.now_ms()

    def set(self, key: str, value: str, *, px: int | None = None) -> None:
        """Set `key`, for `px` ms or for good."""
        if not self.available:
            raise LeaseUnavailable("Redis does not answer: it is away.")
        self._entries[key] = (value, None if px is None else self.now_ms() + px)

    def keys(self, prefix: str) -> list[str]:
        """List the live keys that begin with `prefix`, sorted."""
        return [key for key in sorted(self._entries) if key.startswith(prefix) and self.get(key) is not None]

    def empty(self) -> None:
        """Clear the store, as a restart without persistence does."""
        self._entries.clear()


class MemoryLease:
    """`headrace.broker.ports.Lease` on a shared `MemoryLeaseStore`.

    `is_cut` is True while this process alone is cut off.

    `renewals` counts the calls of `renew`.
    """

    def __init__(self, store: MemoryLeaseStore, key: str, *, ttl_ms: int, token: str) -> None:
        self._store = store
        self._key = key
        self._ttl_ms = ttl_ms
        self._token = token
        self.is_cut = False
        self.renewals = 0

    async def look(self) -> LeaseView:
        """Read the key; give an expiry to a held lease with none in sight."""
        view = self._view()
        if view.value not in {None, RELEASED} and (view.pttl_ms is None or view.pttl_ms > LEASE_MS_MAX):
            self._store.set(self._key, str(view.value), px=self._ttl_ms)
        return view

    async def take(self) -> LeaseTaken | LeaseView:
        """Take an absent or released key, or one that is ours already."""
        view = self._view()
        if view.value not in {None, RELEASED, self._token}:
            return view
        self._store.set(self._key, self._token, px=self._ttl_ms)
        return LeaseTaken()

    async def renew(self, *, restore: bool) -> LeaseMine | LeaseForeign:
        """Prolong our own key; with `restore` also set an absent one again."""
        self.renewals += 1
        value = self._view().value
        if value == self._token or (value is None and restore):
            self._store.set(self._key, self._token, px=self._ttl_ms)
            return LeaseMine()
        return LeaseForeign(value)

    async def release(self) -> None:
        """Mark our own key released; a foreign one stays as it is."""
        if self._view().value == self._token:
            self._store.set(self._key, RELEASED)
            self._store.wakes += 1

    async def note_ready(self) -> None:
        """Note for two seconds that this process could lead."""
        self._reach()
        self._store.set(f"{self._notes}{self._token}", "ready", px=NOTE_MS)

    async def ready_standbys(self) -> list[str]:
        """Return the tokens of the processes with a live note, sorted."""
        self._view()  # raises while Redis is away, even without notes
        return [key.removeprefix(self._notes) for key in self._store.keys(self._notes)]

    async def server_time_ms(self) -> int:
        """Return the store's clock."""
        self._view()
        return self._store.now_ms()

    async def publish_status(self, status: str) -> None:
        """Store a status; it is live for five seconds and kept for a day."""
        self._reach()
        self._store.set(f"{self._key}:status", status, px=STATUS_KEPT_MS)

    async def read_status(self) -> str | None:
        """Return the live status, or None."""
        entry = self._store.get(f"{self._key}:status")
        live = entry is not None and (entry[1] or 0) > STATUS_KEPT_MS - STATUS_LIVE_MS
        return entry[0] if entry and live else None

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""

    @property
    def _notes(self) -> str:
        return f"{self._key}:standby:"

    def _reach(self) -> None:
        if self.is_cut:
            raise LeaseUnavailable("Redis does not answer: this process is cut off.")

    def _view(self) -> LeaseView:
        self._reach()
        entry = self._store.get(self._key)
        return LeaseView(*entry) if entry else LeaseView(None, None)


class MemoryBoard:
    """`headrace.broker.status_ports.StatusBoard` on a `MemoryLeaseStore`."""

    def __init__(self, store: MemoryLeaseStore, dispatcher_key: str, retrier_key: str) -> None:
        self._store = store
        self._keys = dispatcher_key, retrier_key

    async def dispatcher(self) -> Reported:
        """Read what is below the dispatchers' lease."""
        return self._read(self._keys[0])

    async def retrier(self) -> Reported:
        """Read what is below the retriers' lease."""
        return self._read(self._keys[1])

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _read(self, key: str) -> Reported:
        status, lease = self._store.get(f"{key}:status"), self._store.get(key)
        return Reported(
            lease_key=key,
            status=None if status is None else status[0],
            age_s=None if status is None else (STATUS_KEPT_MS - (status[1] or 0)) / 1_000,
            holder=None if lease is None else lease[0],
            standbys=len(self._store.keys(f"{key}:standby:")),
        )
