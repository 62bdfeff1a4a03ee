"""Tenants, for which requests are made. Within a lane they share the tokens by their weights."""

from pydantic import Field

from headrace.broker.settings.group import TOKENS_MAX, Group

OTHERS = "*"
"""Stands for each tenant without a table of its own, and for requests that name none."""


class TenantSettings(Group):
    """Tenant. `weight` is its share among the tenants that wait; the caps always hold."""

    weight: float = Field(1.0, ge=0.001, le=1_000)
    cap_tokens_per_minute: int | None = Field(None, ge=1, le=TOKENS_MAX)
    inflight_max: int | None = Field(None, ge=1)
