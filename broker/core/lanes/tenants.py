"""Weights and caps of tenants: the operator's rules, valid across lanes and limits.

A weight is a share relative to other tenants' weights. A cap holds however much is free: tokens in any minute, and
calls in flight. A tenant with neither costs nothing here.
"""

from collections.abc import Callable, Hashable, Mapping

from headrace.broker.core.bounds import TENANTS_CAPPED_SWEPT_ABOVE
from headrace.broker.core.budget.sliding_sum import SlidingSum
from headrace.broker.core.config import USUAL, TenantRule


class _Use:
    """What a capped tenant has taken."""

    __slots__ = ("inflight", "window")

    def __init__(self) -> None:
        self.inflight = 0
        self.window = SlidingSum()


class Tenants:
    """The tenants' rules, and what capped tenants have taken recently.

    Attributes:
        capping: Whether any tenant can be held back by a cap; if not, callers need not ask.
    """

    def __init__(self, rules: Mapping[str, TenantRule] | None = None, others: TenantRule | None = None) -> None:
        """Take the rules; `others` holds for tenants without a rule of their own, and for requests without a tenant."""
        self._rules = dict(rules or {})
        self._others = others or USUAL
        self.capping = self._others.capped or any(rule.capped for rule in self._rules.values())
        self._uses: dict[str, _Use] = {}
        # by tenant, and by what is to be told
        self._on_end: dict[str, dict[Hashable, Callable[[], None]]] = {}
        self._on_given_back: dict[str, dict[Hashable, Callable[[], None]]] = {}

    def rule(self, tenant: str) -> TenantRule:
        """Return the rule of one tenant."""
        return self._rules.get(tenant, self._others)

    def free_at(self, tenant: str, charge: int, now_ms: int) -> int | None:
        """Return when its caps allow a call of that charge, all else unchanged; None: not before one of its calls ends.

        A charge above the cap goes when nothing else was taken within the minute.
        """
        rule, use = self.rule(tenant), self._uses.get(tenant)
        if use is None:
            return now_ms
        if rule.inflight_max is not None and use.inflight >= rule.inflight_max:
            return None
        return now_ms if rule.cap_tokens is None else use.window.payable_at(charge, rule.cap_tokens, now_ms)

    def is_free(self, tenant: str, charge: int, now_ms: int) -> bool:
        """Whether its caps allow such a call now."""
        at_ms = self.free_at(tenant, charge, now_ms)
        return at_ms is not None and at_ms <= now_ms

    def record_start(self, tenant: str, charge: int, now_ms: int) -> None:
        """Count a call of the tenant that leaves."""
        if not self.rule(tenant).capped:
            return
        if tenant not in self._uses and len(self._uses) >= TENANTS_CAPPED_SWEPT_ABOVE:
            self._uses = {name: use for name, use in self._uses.items() if use.inflight or use.window.charged(now_ms)}
            told = self._on_given_back
            self._on_given_back = {name: callbacks for name, callbacks in told.items() if name in self._uses}
        use = self._uses.setdefault(tenant, _Use())
        use.inflight += 1
        use.window.pay(charge, now_ms)

    def record_end(self, tenant: str) -> None:
        """Count a call of the tenant that has ended, with whatever result."""
        use = self._uses.get(tenant)
        if use is not None:
            use.inflight -= 1
            for callback in self._on_end.pop(tenant, {}).values():
                callback()

    def give_back(self, tenant: str, tokens: int, paid_ms: int) -> None:
        """Take back so many tokens of a call that left at `paid_ms`, which the server did not take; negative: add them.

        What the minute has forgotten already stays so.
        """
        use = self._uses.get(tenant)
        if use is not None:
            use.window.refund(tokens, paid_ms)
            if tokens > 0:
                for callback in self._on_given_back.pop(tenant, {}).values():
                    callback()

    def inflight(self, tenant: str) -> int:
        """Return how many calls of a capped tenant are in flight; those of other tenants are not counted."""
        use = self._uses.get(tenant)
        return 0 if use is None else use.inflight

    def on_call_ended(self, tenant: str, owner: Hashable, callback: Callable[[], None]) -> None:
        """Call `callback`, once, when the next call of that tenant has ended, in place of the owner's former one."""
        self._on_end.setdefault(tenant, {})[owner] = callback

    def on_given_back(self, tenant: str, owner: Hashable, callback: Callable[[], None]) -> None:
        """Do the same when tokens of a call of that tenant are given back; only a call in flight may do that."""
        if self.inflight(tenant):
            self._on_given_back.setdefault(tenant, {})[owner] = callback
