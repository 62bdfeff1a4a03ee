"""Read-only view of what a lease holder left in Redis for people: its status, and the number of ready standbys.

Redis keeps a status for a day and counts its life down by its own clock. So the age of a report is the part of that
life already spent, and neither our clock nor the reporter's is involved.
"""

from collections.abc import Iterable
from typing import Any

from headrace.broker.adapters.redis import lease
from headrace.broker.adapters.redis.lifetimes import STATUS_KEPT_MS
from headrace.broker.errors import AuthenticationError, LeaseUnavailable, RightsError
from headrace.broker.status_ports import Reported, StatusBoard

_KEYS_A_STEP = 1_000


class RedisStatus:
    """Status reader.

    Every method raises `LeaseUnavailable` when Redis does not answer in time, `AuthenticationError` when it does not
    accept the password, and `RightsError` when it does not let this user read.
    """

    def __init__(self, url: str) -> None:
        """It connects with the first command. Raises SettingsError: the URL cannot be read."""
        self._redis = lease.connected(url)

    async def check(self, lease_key: str) -> None:
        """Check that a Redis answers, with a command that needs only the right to read."""
        async with lease.answered(lease_key):
            await self._redis.get(lease_key)

    async def clusters(self, key_prefix: str, name: str) -> list[str]:
        """List the ids of the Kafka clusters for which a status exists under that name, sorted.

        It walks over all keys, a thousand a step; the caller bounds the time.
        """
        start, end = f"{key_prefix}:", lease.status_key(f":{name}")
        pattern = f"{_literal(start)}*{_literal(end)}"
        found: set[str] = set()
        cursor = 0
        while True:
            async with lease.answered():
                cursor, keys = await self._redis.scan(cursor, match=pattern, count=_KEYS_A_STEP)
            found |= {str(key)[len(start) : -len(end)] for key in keys}
            if not cursor:
                return sorted(found)

    async def read(self, lease_key: str) -> Reported:
        """Read the status, the lease and the standbys' notes below this lease key."""
        async with lease.answered(), self._redis.pipeline(transaction=True) as all_of_it:
            all_of_it.get(lease.status_key(lease_key))
            all_of_it.pttl(lease.status_key(lease_key))
            all_of_it.get(lease_key)
            all_of_it.smembers(lease.index_key(lease_key))
            status, pttl_ms, holder, tokens = await all_of_it.execute(raise_on_error=False)
            read = {lease.status_key(lease_key): status, lease_key: holder, lease.index_key(lease_key): tokens}
            _raise_others((*read.values(), pttl_ms))
        spoilt = tuple(lease.told_of_type(key) for key, answer in read.items() if lease.is_of_another_type(answer))
        status, holder, tokens = (None if lease.is_of_another_type(answer) else answer for answer in read.values())
        standbys = None if tokens is None else 0
        if tokens:
            async with lease.answered():
                notes = await self._redis.mget([lease.note_key(lease_key, str(token)) for token in tokens])
            standbys = sum(note is not None for note in notes)
        return Reported(
            lease_key=lease_key,
            status=None if status is None else str(status),
            age_s=None if status is None else max(0, STATUS_KEPT_MS - pttl_ms) / 1_000,
            holder=None if holder is None else str(holder),
            standbys=standbys,
            spoilt=spoilt,
        )

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()


class RedisBoard(StatusBoard):
    """What the holders of two leases, the dispatchers' and the retriers', have left in one Redis."""

    def __init__(self, url: str, dispatcher_key: str, retrier_key: str) -> None:
        """It connects with the first command. Raises SettingsError: the URL cannot be read."""
        self._status = RedisStatus(url)
        self._keys = dispatcher_key, retrier_key

    async def dispatcher(self) -> Reported:
        """See `headrace.broker.status_ports.StatusBoard`."""
        return await self._read(self._keys[0])

    async def retrier(self) -> Reported:
        """See `headrace.broker.status_ports.StatusBoard`."""
        return await self._read(self._keys[1])

    async def close(self) -> None:
        """Close the connection."""
        await self._status.close()

    async def _read(self, key: str) -> Reported:
        try:
            return await self._status.read(key)
        except (AuthenticationError, RightsError) as error:  # one that is shown, and ends nothing
            raise LeaseUnavailable(str(error)) from error


def _raise_others(answers: Iterable[Any]) -> None:
    """Raise an error that is not about a key's type: it concerns the whole exchange."""
    for answer in answers:
        if isinstance(answer, Exception) and not lease.is_of_another_type(answer):
            raise answer


def _literal(text: str) -> str:
    """Escape a text for use inside a Redis pattern."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in text)
