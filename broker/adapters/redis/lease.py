"""The lease in Redis: one key that elects a leader, and notes beside it that may all be lost.

PROTOCOL 2. Each step on the key is one script, so that no other client comes between reading and writing. redis-py
would retry ten times with back-off and apply a timed-out write late; here every command is sent once and given half a
second. Even so a command without an answer may have been carried out: the caller counts the lease's life from before it
sent the command.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from headrace.broker.adapters.redis.lifetimes import NOTE_MS, STATUS_KEPT_MS, STATUS_LIVE_MS
from headrace.broker.core.config import LEASE_MS_MAX, REDIS_ANSWERS_WITHIN_MS
from headrace.broker.core.lease import RELEASED
from headrace.broker.errors import AuthenticationError, LeaseUnavailable, RightsError, SettingsError
from headrace.broker.ports import LeaseForeign, LeaseMine, LeaseTaken, LeaseView
from headrace.broker.settings.urls import RedisUrl, UrlError

_ANSWER_S = 0.5
_ALTOGETHER_S = REDIS_ANSWERS_WITHIN_MS / 1_000
"""Time limit including a new connection: a later answer counts as none."""
assert _ANSWER_S < _ALTOGETHER_S  # noqa: S101 — a bound asserted against its neighbour

_INDEX_MS = 3_600_000


class RedisLease:
    """The lease at `key` as seen by the process with `token`.

    Every method but `check` raises `LeaseUnavailable` alone, even where Redis rejects us: a leader whose password was
    changed during its term goes on by its transactions, and reports the fault, instead of dying with its calls.
    """

    def __init__(self, url: str, key: str, *, ttl_ms: int, token: str) -> None:
        """It connects with the first command, and reads nothing before.

        Args:
            url: `redis://`, `rediss://` or `unix://`; never shown in an error, for it may hold a password.
            key: the lease's key; standby notes and the live status are stored under it.
            ttl_ms: the life of the lease after each renewal.
            token: this process; random, never `released`.

        Raises:
            SettingsError: the URL cannot be read.
        """
        self._redis = connected(url)
        self._key, self._index = key, index_key(key)
        self._ttl_ms = ttl_ms
        self._token = token
        self._take, self._renew, self._release, self._limit = (
            self._redis.register_script(_script(name)) for name in ("take", "renew", "release", "limit")
        )

    async def check(self) -> None:
        """Check once whether Redis lets us in, at the start: a fault that an operator must fix should end the start.

        Raises:
            AuthenticationError: Redis accepts neither password nor certificate.
            RightsError: Redis does not let this user read the lease.
            LeaseUnavailable: Redis is away; that is no reason not to start.
        """
        async with answered(self._key):
            await self._redis.get(self._key)

    @property
    def wake_channel(self) -> str:
        """The channel on which a release is published."""
        return f"{self._key}:wake"

    async def look(self) -> LeaseView:
        """Read the key; give an expiry to a held lease with none in sight, else a dead leader keeps it."""
        async with _answered(self._key), self._redis.pipeline(transaction=True) as both:
            both.get(self._key)
            both.pttl(self._key)
            value, pttl_ms = await both.execute()
            if value not in {None, RELEASED} and not 0 <= pttl_ms <= LEASE_MS_MAX and self._ttl_ms > 0:
                await self._limit(keys=[self._key], args=[value, self._ttl_ms, LEASE_MS_MAX])
        return _view(value, pttl_ms)

    async def take(self) -> LeaseTaken | LeaseView:
        """Take an absent or released key, or one that is ours already; else return its content."""
        async with _answered(self._key):
            answer: list[Any] = await self._take(keys=[self._key], args=[self._token, self._ttl_ms])
        return LeaseTaken() if answer[0] else _view(answer[1], answer[2])

    async def renew(self, *, restore: bool) -> LeaseMine | LeaseForeign:
        """Prolong our own key; with `restore` also set an absent one again."""
        async with _answered(self._key):
            answer: list[Any] = await self._renew(keys=[self._key], args=[self._token, self._ttl_ms, int(restore)])
        if answer[0]:
            return LeaseMine()
        return LeaseForeign(answer[1] if len(answer) > 1 else None)

    async def release(self) -> None:
        """Mark our own key `released`, without expiry, and wake the standby; a foreign key stays as it is."""
        async with _answered(self._key):
            await self._release(keys=[self._key], args=[self._token, self.wake_channel])

    async def note_ready(self) -> None:
        """Note for two seconds that this process could lead.

        The set beside the notes is an index: a Redis shared with others is too large to be scanned for them.
        """
        async with _answered(self._index), self._redis.pipeline(transaction=False) as notes:
            notes.set(note_key(self._key, self._token), "ready", px=NOTE_MS)
            notes.sadd(self._index, self._token)
            await notes.execute()
            await self._redis.pexpire(self._index, _INDEX_MS)  # only now: a value of another type would expire with it

    async def ready_standbys(self) -> list[str]:
        """Return the tokens of the processes with a live note, sorted."""
        async with _answered(self._index):
            tokens = sorted(str(token) for token in await self._redis.smembers(self._index))
            values = await self._redis.mget([note_key(self._key, token) for token in tokens]) if tokens else []
            notes = dict(zip(tokens, values, strict=True))
            gone = [token for token, value in notes.items() if value is None]
            if gone:
                await self._redis.srem(self._index, *gone)
        return [token for token, value in notes.items() if value is not None]

    async def server_time_ms(self) -> int:
        """Return Redis' own wall clock: the second source that a step of our clock must agree with."""
        async with _answered():
            seconds, microseconds = await self._redis.time()
        return int(seconds) * 1_000 + int(microseconds) // 1_000

    async def publish_status(self, status: str) -> None:
        """Store a status, JSON: live for five seconds, kept for a day."""
        async with _answered():
            await self._redis.set(status_key(self._key), status, px=STATUS_KEPT_MS)

    async def read_status(self) -> str | None:
        """Return the leader's live status, or None if there was none within five seconds."""
        async with _answered(status_key(self._key)), self._redis.pipeline(transaction=True) as both:
            both.get(status_key(self._key))
            both.pttl(status_key(self._key))
            status, pttl_ms = await both.execute()
        return str(status) if status is not None and pttl_ms > STATUS_KEPT_MS - STATUS_LIVE_MS else None

    async def close(self) -> None:
        """Close the connections; notes expire by themselves."""
        await self._redis.aclose()


def status_key(lease_key: str) -> str:
    """Return the key of the lease holder's status."""
    return f"{lease_key}:status"


def index_key(lease_key: str) -> str:
    """Return the key of the set of noted standbys' tokens."""
    return f"{lease_key}:standbys"


def note_key(lease_key: str, token: str) -> str:
    """Return the key of a standby's note."""
    return f"{lease_key}:standby:{token}"


def connected(url: str) -> Redis:
    """Create a client that sends every command once and waits half a second; it connects with its first command.

    Raises:
        SettingsError: the URL cannot be read. Its text and its chain hold nothing of the URL: the errors of redis-py
            and urllib repeat parts of the password.
    """
    try:
        client: Redis = Redis.from_url(
            RedisUrl.read(url).encoded(),
            decode_responses=True,
            encoding_errors="replace",  # the value is not ours, and ends no process
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=_ANSWER_S,
            retry=Retry(NoBackoff(), 0),
        )
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's; checks what was given
    except UrlError as error:
        said = str(error)
    except (ValueError, TypeError, exceptions.RedisError) as error:
        said = _told_of_the_url(error)
    else:
        return client
    raise SettingsError(f"redis.url {said}.")


def _told_of_the_url(error: Exception) -> str:
    """Keep nothing of a foreign error text but the name of an option."""
    option = re.search(r"Invalid value for '(\w+)'|unexpected keyword argument '(\w+)'", str(error))
    return f"has an option that cannot be used here ({option[1] or option[2]})" if option else "cannot be read"


def _script(name: str) -> str:
    return resources.files("headrace.broker.adapters").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def _view(value: str | None, pttl_ms: int) -> LeaseView:
    return LeaseView(value, pttl_ms if pttl_ms >= 0 else None)


@asynccontextmanager
async def answered(key: str = "") -> AsyncIterator[None]:
    """Bound the time of an exchange, and translate its errors. `key`: the one reported if it has the wrong type.

    Raises:
        AuthenticationError: Redis does not accept the password, or we not its certificate.
        RightsError: Redis knows this user and does not let it.
        LeaseUnavailable: No answer in time, or another error.
    """
    try:
        async with asyncio.timeout(_ALTOGETHER_S):
            yield
    except exceptions.AuthenticationError as error:
        raise AuthenticationError(_refused(error)) from error
    except (exceptions.NoPermissionError, exceptions.AuthorizationError) as error:
        told = _without_arguments(error)
        raise RightsError(
            f"Redis does not allow the user of redis.url to do this ({told}): change its ACL."
        ) from _cause(error)
    except (exceptions.RedisError, OSError) as error:
        if _has_cause(error, ssl.SSLCertVerificationError):
            raise AuthenticationError(
                "The certificate of Redis is not signed for that name by a trusted authority: add "
                "?ssl_ca_certs=FILE to redis.url."
            ) from error
        said = told_of_type(key) if is_of_another_type(error) and key else _silent(error)
        raise LeaseUnavailable(said) from _cause(error)


@asynccontextmanager
async def _answered(key: str = "") -> AsyncIterator[None]:
    """Do the same, but translate a rejection to `LeaseUnavailable`, like a missing answer."""
    try:
        async with answered(key):
            yield
    except (AuthenticationError, RightsError) as refused:
        raise LeaseUnavailable(str(refused)) from refused


def is_of_another_type(answer: object) -> bool:
    """Whether Redis reports that a key holds no string, or no set, where we need one."""
    return isinstance(answer, exceptions.ResponseError) and "WRONGTYPE" in str(answer)


def told_of_type(key: str) -> str:
    """Explain the wrong type of such a key, and the remedy."""
    return (
        f"The key {key} in Redis is of another type than Headrace writes: another program has written it. Check it "
        "with TYPE, and remove it with DEL."
    )


def _refused(error: exceptions.AuthenticationError) -> str:
    if "invalid" in str(error):
        return "Redis refuses the user or the password of redis.url: check both."
    return "Redis requires a password: add it to redis.url, as in redis://:PASSWORD@HOST:6379/0."


def _silent(error: BaseException) -> str:
    told = _without_arguments(error)
    if isinstance(error, exceptions.ResponseError):
        return f"Redis answers with an error: {told}."
    if is_refused(error):
        return f"No Redis listens{_where(told)}: start it, or check redis.url."
    if _has_cause(error, socket.gaierror):
        return f"The host of Redis{_where(told)} cannot be found: check redis.url."
    if "Timeout connecting" in told:
        return "Redis accepts no connection in time: check redis.url, and use rediss:// only if Redis speaks TLS."
    return f"Redis does not answer: {told}."


def _where(told: str) -> str:
    """Return `at` host and port, if redis-py names them."""
    found = re.search(r"connecting to (\S+?)\.(?:\s|$)", told)
    return f" at {found[1]}" if found else " where redis.url says"


def is_refused(error: BaseException | None) -> bool:
    """Whether the error, or one that caused it, says that nothing listens there."""
    return _has_cause(error, ConnectionRefusedError, FileNotFoundError)


def _has_cause(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    """Whether the error is of one of these kinds, or one that caused it."""
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__cause__ or error.__context__
    return False


def _without_arguments(error: BaseException) -> str:
    """Drop the arguments that a server repeats from an error's text; those of AUTH and HELLO are the password."""
    return str(error).partition(", with args")[0].rstrip(".") or type(error).__name__


def _cause(error: BaseException) -> BaseException | None:
    """Return the error as a cause that a traceback shows, unless it repeats arguments."""
    return None if ", with args" in str(error) else error
