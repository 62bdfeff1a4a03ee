"""OpenAI's rate limiter as its answers show it, or as others behave: the reference for the core's beliefs about it.

Written from the recorded answers (the facts' §0.1 and §4.2) and from `behaviours`, not from the core. Time is an
argument, in whole microseconds, so that it serves HTTP and a benchmark's virtual time alike. A call pays every meter of
its limit or none; a call above a limit is "Request too large". `meters` define how a meter works, `rules` which meters
there are, `account` what happens between calls.
"""

from typing import Final

from headrace.broker.simulator.account import Account, Scene
from headrace.broker.simulator.admission import Admitted, HeaderTriple, Metric, Refusal
from headrace.broker.simulator.rules import Limits, shared_limit_of
from headrace.broker.simulator.tally import Tally

MODELS_MAX: Final = (
    1_000  # accounts are made on first sight; a client that invents model names must not fill the memory
)


class Limiter:
    """Accounts, one for each limit, unused when a model of it is first seen."""

    def __init__(self, limits: Limits, scene: Scene | None = None) -> None:
        self.limits = limits
        self._scene = scene or Scene()
        self._accounts: dict[str, Account] = {}  # by model
        self._named: dict[str, Account] = {}  # by the limit's name

    @property
    def models(self) -> tuple[str, ...]:
        """The models seen since the start or the last reset."""
        return tuple(self._accounts)

    def has_room_for(self, model: str) -> bool:
        """Whether `model` has an account or may still get one."""
        return model in self._accounts or len(self._accounts) < MODELS_MAX

    def admit(self, model: str, charge: int, now_us: int, input_tokens: int = 0) -> Admitted | Refusal:
        """Admit one call of `model` or refuse it; see `Account.admit`."""
        account = self._accounts.get(model) or self._account(model, now_us)
        return account.admit(charge, now_us, input_tokens)

    def settle(self, model: str, tokens: int, due_us: int) -> None:
        """Debit `tokens` more at `due_us`, not before now: the end of a call of `model` that was admitted."""
        self._accounts[model].settle(tokens, due_us)

    def levels(self, model: str, now_us: int) -> dict[Metric, HeaderTriple]:
        """Return the levels that headers show of `model` now, for an answer that costs nothing."""
        return self._account(model, now_us).refilled(now_us)

    def project_levels(self, model: str) -> dict[Metric, HeaderTriple]:
        """Return the levels of the project's buckets, as of the last call or look; empty without such limits."""
        account = self._accounts.get(model)
        return {} if account is None else account.project_levels()

    def tallies(self, now_us: int | None = None) -> dict[str, dict[Metric, Tally]]:
        """Return what each limit offered and where it went, by its name: until `now_us`, or until its last call."""
        if now_us is not None:
            for account in self._named.values():
                account.refilled(now_us)
        return {name: account.tallies() for name, account in self._named.items()}

    def reset(self, now_us: int = 0) -> None:
        """Empty all accounts, and restart the behaviours."""
        self._accounts.clear()
        self._named.clear()
        self._scene = Scene(self._scene.behaviours, self._scene.seed, now_us)

    def _account(self, model: str, now_us: int) -> Account:
        account = self._accounts.get(model)
        if account is None:
            shared = shared_limit_of(model, self._scene.behaviours)
            name = model if shared is None else shared.limit_name
            account = self._named.get(name)
            if account is None:
                scene, shared_name = self._scene, "" if shared is None else name
                account = self._named[name] = Account(self.limits, now_us, scene, shared_name=shared_name)
            self._accounts[model] = account
        return account
