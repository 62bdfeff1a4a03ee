"""The advisor: takes outcomes and requests in any order, and returns findings."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from headrace.broker.spending.advice import answers, caps, constants, optional, prefixes, repeats, tiers
from headrace.broker.spending.advice.context import AdviceContext, Pricing
from headrace.broker.spending.advice.duplicates import DuplicateBook
from headrace.broker.spending.advice.finding import AdviceFinding, AdviceRules, CountTokens, Price
from headrace.broker.spending.advice.groups import OutcomeGroup, RequestPool
from headrace.broker.spending.advice.records import facts_of_request, family_of, seconds
from headrace.broker.spending.advice.sampling import HASH_MAX, hash_of
from headrace.broker.spending.advice.views import joined_by_group, views_of
from headrace.schemas.request_codec import DecodedRequest
from headrace.schemas.spending import AdvisedOutcome

GROUPS_MAX: Final = 100
"""Groups of outcomes, and pools of requests, that are kept: the largest. Twice as many stand for a moment."""
NAME_CHARS_MAX: Final = 256
_USUAL: Final = AdviceRules()
_ANALYSES: Final = tuple(each.findings for each in (prefixes, repeats, caps, tiers, constants, optional))
Key = tuple[str | None, str]


class Advisor:
    """Gathers what a bounded memory can hold of a workload, and says what would use fewer tokens.

    Feed it outcomes first and requests of the same period afterwards, if you can choose: it then keeps requests with an
    outcome that it has kept too. In any other order it keeps those whose ids have the smallest hashes, on both sides.

    Attributes:
        price: Prices calls; without it, findings about prices are left out and none has an amount of money.
        count: Counts tokens; without it, four bytes are a token. Both are scaled to what usage reports.
        lane_deadlines_s: Deadlines that lanes give to requests without one.
    """

    def __init__(
        self,
        *,
        price: Price | None = None,
        count: CountTokens | None = None,
        rules: AdviceRules = _USUAL,
        lane_deadlines_s: Mapping[str, float] | None = None,
    ) -> None:
        self._pricing = Pricing(price)
        self._count = count
        self._rules = rules
        self._lane_deadlines_s = dict(lane_deadlines_s or {})
        self._groups: dict[Key, OutcomeGroup] = {}
        self._pools: dict[Key, RequestPool] = {}
        self._sampled: Counter[int] = Counter()
        self._duplicates = DuplicateBook()
        self._first_s: float | None = None
        self._last_s: float | None = None
        self.left_out = 0
        """Outcomes of small groups that were given up, and are in no finding."""

    def outcome(self, outcome: AdvisedOutcome) -> None:
        """Count an outcome."""
        model = family_of(outcome.model or "")[:NAME_CHARS_MAX]
        template = None if outcome.template is None else outcome.template[:NAME_CHARS_MAX]
        group = self._groups.get((template, model))
        if group is None:
            group = self._groups[template, model] = OutcomeGroup(template, model)
            self._drop_small_groups()
        id_hash = hash_of(outcome.id)
        is_kept, dropped = group.add(outcome, id_hash)
        if is_kept:
            self._sampled[id_hash] += 1
        if dropped is not None:
            self._forget(dropped)
        if outcome.status == "completed":
            self._duplicates.add(outcome, id_hash, group)
        self._note_instant(seconds(outcome.timings.finished_at))

    def request(self, decoded: DecodedRequest, lane: str = "") -> None:
        """Take a request into account. Never raises, whatever its body."""
        request = decoded.request
        template = None if request.template is None else request.template[:NAME_CHARS_MAX]
        where = (template, family_of((request.model or "")[:NAME_CHARS_MAX]))
        pool = self._pools.get(where)
        if pool is None:
            pool = self._pools[where] = RequestPool(template)
            self._drop_small_pools()
        pool.seen += 1
        id_hash = hash_of(request.id)
        key = id_hash if id_hash in self._sampled else id_hash + HASH_MAX
        if pool.sample.wants(key):
            pool.put(key, facts_of_request(decoded, lane[:NAME_CHARS_MAX]))

    def wants(self, request_id: str) -> bool:
        """Return whether the outcome of a request is among those kept, so that the request is of use."""
        return hash_of(request_id) in self._sampled

    def findings(self, *, days: float | None = None, show_prompts: bool = False) -> list[AdviceFinding]:
        """Return what was found, the largest saving of money first; questions come last.

        `days` is the length of the period if it is known; else it reaches from the first to the last outcome. A period
        shorter than a day is not extrapolated.
        """
        context = AdviceContext(
            self._pricing,
            self._rules,
            max(1.0, days or self._days()),
            self._count,
            self._lane_deadlines_s,
            show_prompts=show_prompts,
        )
        found: list[AdviceFinding] = []
        further, share = self._duplicates.by_group(), self._duplicates.share
        joined = joined_by_group(self._groups, self._pools.values())
        for where, group in self._groups.items():
            found += answers.findings(group, context, caps.cap_of(joined.get(where, ())))
            found += answers.duplicates(group, further.get(where), share, context)
        for view in views_of(self._groups, joined, self._count):
            for analyse in _ANALYSES:
                found += analyse(view, context)
        return sorted(
            found, key=lambda each: (each.is_question, -(each.micro_usd_a_day or 0), -each.tokens_a_day, each.kind)
        )

    def _days(self) -> float:
        """Return the days from the first outcome to the last."""
        return 0.0 if self._first_s is None or self._last_s is None else (self._last_s - self._first_s) / 86_400

    def _note_instant(self, instant_s: float | None) -> None:
        if instant_s is not None:
            self._first_s = instant_s if self._first_s is None else min(self._first_s, instant_s)
            self._last_s = instant_s if self._last_s is None else max(self._last_s, instant_s)

    def _forget(self, id_hash: int) -> None:
        self._sampled[id_hash] -= 1
        if self._sampled[id_hash] <= 0:
            del self._sampled[id_hash]

    def _drop_small_groups(self) -> None:
        if len(self._groups) <= 2 * GROUPS_MAX:
            return
        by_size = sorted(self._groups, key=lambda where: self._groups[where].answered.tokens, reverse=True)
        for where in by_size[GROUPS_MAX:]:
            group = self._groups.pop(where)
            self.left_out += group.outcomes
            for id_hash in group.sample:
                self._forget(id_hash)

    def _drop_small_pools(self) -> None:
        if len(self._pools) > 2 * GROUPS_MAX:
            by_size = sorted(self._pools, key=lambda where: self._pools[where].seen, reverse=True)
            for where in by_size[GROUPS_MAX:]:
                del self._pools[where]
