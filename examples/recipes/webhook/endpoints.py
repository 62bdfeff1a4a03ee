"""Endpoints: which URL gets a tenant's outcomes, which secrets sign them, and whether it answers at present."""

import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from webhook.signing import secret_of

EVERY_TENANT = "*"


class BadEndpoints(Exception):  # noqa: N818  # named by its meaning
    """The file of endpoints cannot be used; the message says where."""


@dataclass(slots=True)
class Health:
    """Circuit breaker of one endpoint: after `failures_max` failures in a row it rests, then one delivery probes it."""

    failures_max: int = 5
    rest_s: float = 60.0
    clock: Callable[[], float] = time.monotonic
    _failures: int = 0
    _rests_until: float = 0.0

    def admits(self) -> bool:
        """Whether to call the endpoint now; a resting one admits one call each time its rest is over."""
        if self._failures < self.failures_max:
            return True
        if self.clock() < self._rests_until:
            return False
        self._rests_until = self.clock() + self.rest_s
        return True

    def answered(self) -> None:
        """Note a delivery."""
        self._failures = 0

    def failed(self) -> None:
        """Note a failure."""
        self._failures += 1
        if self._failures == self.failures_max:
            self._rests_until = self.clock() + self.rest_s


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL, the secrets that sign what it gets (the newest first), and its health."""

    url: str
    secrets: tuple[bytes, ...] = field(repr=False)
    health: Health = field(default_factory=Health, compare=False)


class Endpoints:
    """Endpoints by tenant; the tenant `*` stands for all that have none of their own."""

    def __init__(self, by_tenant: Mapping[str, Endpoint]) -> None:
        self._by_tenant = dict(by_tenant)

    def of(self, tenant: str | None) -> Endpoint | None:
        """Return the endpoint of a tenant; None if nothing is delivered for it."""
        return self._by_tenant.get(tenant or EVERY_TENANT) or self._by_tenant.get(EVERY_TENANT)


def read_endpoints(path: Path) -> Endpoints:
    """Read a file like endpoints.toml. It holds secrets: mount it like a password.

    Raises:
        BadEndpoints: It cannot be used.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return Endpoints({tenant: _endpoint(table["url"], table["secrets"]) for tenant, table in tables.items()})
    except (KeyError, TypeError, ValueError, AttributeError) as reason:
        raise BadEndpoints(f"{path}: {type(reason).__name__}: {reason}") from None


def _endpoint(url: str, secrets: list[str]) -> Endpoint:
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError(f"{url} is no URL of a webhook")
    if not secrets:
        raise ValueError(f"{url} has no secret")
    return Endpoint(url, tuple(secret_of(each) for each in secrets))
