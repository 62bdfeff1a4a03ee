"""All meters of one limit name, and the events between calls: foreign traffic, settlements, other limits."""

import heapq
from dataclasses import dataclass, replace
from typing import Final

from headrace.broker.simulator.admission import (
    INPUT_TOKENS,
    REQUESTS,
    SECOND_US,
    TOKENS,
    Admitted,
    HeaderTriple,
    Metric,
    Refusal,
    RefusedCost,
)
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.enforcement import Foreign, LimitChange
from headrace.broker.simulator.foreign import ForeignClient
from headrace.broker.simulator.rules import Limits, Meter, Rule, refused_cost_of, rules_of, scaled
from headrace.broker.simulator.shown_levels import ShownLimit, Statements
from headrace.broker.simulator.tally import Tally

_NEVER_US: Final = 1 << 62
_BOUNDLESS: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Scene:
    """Scenario: behaviours, the seed of their chance, and the instant from which their times are counted."""

    behaviours: tuple[Behaviour, ...] = ()
    seed: int = 7
    opened_us: int = 0


@dataclass(frozen=True, slots=True)
class _Settlement:
    """Tokens that are debited at the end of a call."""

    tokens: int


_Event = ForeignClient | _Settlement | LimitChange


class Account:
    """Meters of one limit that are all paid together, or none."""

    def __init__(self, limits: Limits, now_us: int, scene: Scene | None = None, *, shared_name: str = "") -> None:
        scene = scene or Scene()
        self._shared_name = shared_name or None
        self._refused_cost = refused_cost_of(limits, scene.behaviours)
        self._statements = Statements.of(scene.behaviours)
        self._agenda: list[tuple[int, int, _Event]] = []
        self._serial = 0
        rules = rules_of(limits, scene.behaviours)
        for behaviour in scene.behaviours:
            if isinstance(behaviour, LimitChange):
                at_us = scene.opened_us + round(min(behaviour.at_s * SECOND_US, _NEVER_US))
                if at_us <= now_us:
                    rules = [rule.scaled(behaviour.factor) for rule in rules]
                else:
                    self._note(at_us, behaviour)
        self._place(rules, now_us, scene.opened_us)
        self._expect_foreigners(limits, now_us, scene, shared_name)
        self._wake_us = self._agenda[0][0] if self._agenda else _NEVER_US
        self._charged = 0
        self._charged_input = 0
        self._admitted = 0
        self._foreign = dict.fromkeys(Metric, 0)
        self._refused = dict.fromkeys(Metric, 0)
        self._wasted = dict.fromkeys(Metric, 0)

    def admit(self, charge: int, now_us: int, input_tokens: int = 0) -> Admitted | Refusal:
        """Pay `charge` tokens and one request from every meter, or return the refusal with its wait.

        `input_tokens` are what limits of input tokens count.
        """
        if now_us >= self._wake_us:
            self._catch_up(now_us)
        if not self._can_pay(charge, input_tokens, now_us):
            return self._refuse(charge, input_tokens)
        for meter in self._of_tokens:
            meter.pay(charge)
        for meter in self._of_requests:
            meter.pay(1)
        for meter, uncached in self._of_inputs:
            meter.pay(round(input_tokens * uncached))
        self._charged += charge
        self._charged_input += input_tokens
        self._admitted += 1
        if self._projects_shown:
            return Admitted(self.levels(), self.project_levels())
        if not self._is_usual:
            return Admitted(self.levels())
        return Admitted({TOKENS: self._shown[TOKENS].level(), REQUESTS: self._shown[REQUESTS].level()})

    def _can_pay(self, charge: int, input_tokens: int, now_us: int) -> bool:
        payable = charge <= self._charge_max
        for meter in self._of_tokens:
            meter.refill(now_us)
            if meter.short_by_us(charge):
                payable = False
        for meter in self._of_requests:
            meter.refill(now_us)
            if meter.short_by_us(1):
                payable = False
        for meter, uncached in self._of_inputs:
            meter.refill(now_us)
            if meter.short_by_us(round(input_tokens * uncached)):
                payable = False
        return payable

    def refilled(self, now_us: int) -> dict[Metric, HeaderTriple]:
        """Bring every meter to `now_us`; return the levels that headers show then."""
        self._catch_up(now_us)
        for _, _, meter in self._meters:
            meter.refill(now_us)
        return self.levels()

    def levels(self) -> dict[Metric, HeaderTriple]:
        """Return the levels that headers show, as of the last call."""
        return {metric: limit.level() for metric, limit in self._shown.items()}

    def settle(self, tokens: int, due_us: int) -> None:
        """Debit `tokens` more at `due_us`, the end of a call that was admitted. They may leave a debt."""
        self._note(due_us, _Settlement(tokens))
        self._wake_us = self._agenda[0][0]

    def tallies(self) -> dict[Metric, Tally]:
        """Return what was offered and where it went, as of the last call or refill."""
        charged = {TOKENS: self._charged, REQUESTS: self._admitted, INPUT_TOKENS: self._charged_input}
        metrics = Metric if self._of_inputs else (TOKENS, REQUESTS)
        return {metric: self._tally(metric, charged[metric]) for metric in metrics}

    def _tally(self, metric: Metric, charged: int) -> Tally:
        foreign = self._foreign[metric]
        offers = [
            round((meter.offered() - (0 if rule.project else foreign)) / rule.uncached)
            for rule_metric, rule, meter in self._meters
            if rule_metric is metric and rule.uncached
        ]
        return Tally(min(offers, default=None), charged, foreign, self._refused[metric], self._wasted[metric])

    def _place(self, rules: list[Rule], now_us: int, mark_us: int) -> None:
        self._meters = [(rule.metric, rule, rule.meter(now_us, mark_us)) for rule in rules]
        self._of_tokens = [meter for metric, _, meter in self._meters if metric is TOKENS]
        self._of_requests = [meter for metric, _, meter in self._meters if metric is REQUESTS]
        self._of_inputs = [(meter, rule.uncached) for metric, rule, meter in self._meters if metric is INPUT_TOKENS]
        shown: dict[Metric, list[Meter]] = {}
        self._projects_shown: dict[Metric, Meter] = {}
        for metric, rule, meter in self._meters:
            if meter.visible and rule.shown:
                if rule.project:
                    self._projects_shown[metric] = meter
                else:
                    shown.setdefault(metric, []).append(meter)
        self._shown = {metric: self._statements.limit(meters) for metric, meters in shown.items()}
        self._is_usual = self._shown.keys() == {TOKENS, REQUESTS}
        self._bound_charges()

    def _bound_charges(self) -> None:
        """Bound a charge: above a visible limit it is "Request too large"; a hidden limit lets it pass when unused."""
        stated = (meter.limit for metric, rule, meter in self._meters if metric is TOKENS and _is_stated(rule, meter))
        self._charge_max = min(stated, default=_BOUNDLESS)

    def _expect_foreigners(self, limits: Limits, now_us: int, scene: Scene, name: str) -> None:
        for number, behaviour in enumerate(scene.behaviours):
            if isinstance(behaviour, Foreign):
                seed = f"{scene.seed}/{name}/{number}"
                client = ForeignClient(behaviour, limits.tokens_per_minute, seed, scene.opened_us)
                self._expect(client, now_us)

    def _expect(self, client: ForeignClient, after_us: int) -> None:
        at_us = client.next_us(after_us)
        if at_us is not None:
            self._note(at_us, client)

    def _note(self, at_us: int, event: _Event) -> None:
        self._serial += 1
        heapq.heappush(self._agenda, (at_us, self._serial, event))

    def _catch_up(self, now_us: int) -> None:
        while self._agenda and self._agenda[0][0] <= now_us:
            at_us, _, event = heapq.heappop(self._agenda)
            for _, _, meter in self._meters:
                meter.refill(at_us)
            match event:
                case ForeignClient():
                    self._let_in(event)
                    self._expect(event, at_us)
                case _Settlement():
                    for meter in self._of_tokens:
                        meter.pay(event.tokens)
                    self._charged += event.tokens
                case LimitChange():
                    self._change(event.factor)
        self._wake_us = self._agenda[0][0] if self._agenda else _NEVER_US

    def _change(self, factor: float) -> None:
        changed = []
        for metric, rule, meter in self._meters:
            limit = scaled(meter.limit, rule.period_us, factor)
            meter.change(limit)
            changed.append((metric, replace(rule, limit=limit), meter))
        self._meters = changed
        self._bound_charges()

    def _let_in(self, client: ForeignClient) -> None:
        wanted = {TOKENS: client.tokens, REQUESTS: client.requests, INPUT_TOKENS: client.tokens}
        theirs = [(metric, meter) for metric, rule, meter in self._meters if not rule.project]
        if not client.insists:
            for metric, meter in theirs:
                wanted[metric] = min(wanted[metric], meter.room())
            if client.requests and not wanted[REQUESTS]:
                return
        for metric, meter in theirs:
            meter.pay(wanted[metric])
        for metric, units in wanted.items():
            self._foreign[metric] += units

    def project_levels(self) -> dict[Metric, HeaderTriple]:
        """Return the levels that headers show of the project's limits, as of the last call."""
        return {metric: meter.level() for metric, meter in self._projects_shown.items()}

    def _refuse(self, charge: int, input_tokens: int) -> Refusal:
        costs = {TOKENS: charge, REQUESTS: 1, INPUT_TOKENS: input_tokens}
        too_large = [
            entry for entry in self._meters if _is_stated(*entry[1:]) and _cost(entry[1], costs) > entry[2].limit
        ]
        if too_large:
            metric, rule, meter = too_large[0]
            wait_ms = None
        else:
            metric, rule, meter = max(self._meters, key=lambda entry: entry[2].short_by_us(_cost(entry[1], costs)))
            short_us = meter.short_by_us(_cost(rule, costs))
            wait_ms = meter.stated_wait_ms(_cost(rule, costs)) if meter.visible else -(-short_us // 1_000)
        shown = self._shown.get(metric)
        stated = meter if _is_stated(rule, meter) else _meter_of(shown)
        numbers = meter if stated is None else stated
        refused = Refusal(
            metric,
            numbers.period_us,
            numbers.limit,
            numbers.used(),
            _cost(rule, costs),
            wait_ms,
            {},
            rule.project,
            self._shared_name,
            numbers_stated=stated is not None,
            wait_stated=rule.shown,
        )
        self._refused[metric] += 1
        self._punish(costs)
        return self._statements.told(refused, shown)._replace(
            levels=self.levels(), project_levels=self.project_levels()
        )

    def _punish(self, costs: dict[Metric, int]) -> None:
        of_metric: dict[Metric, list[tuple[Rule, Meter]]] = {}
        for metric, rule, meter in self._meters:
            of_metric.setdefault(metric, []).append((rule, meter))
        for metric, limits in of_metric.items():
            if self._refused_cost is RefusedCost.ALL or (
                self._refused_cost is RefusedCost.REQUEST and metric is REQUESTS
            ):
                self._wasted[metric] += min(costs[metric], *(meter.room() for _, meter in limits))
                for rule, meter in limits:
                    meter.drain(_cost(rule, costs))


def _cost(rule: Rule, costs: dict[Metric, int]) -> int:
    """Return the units of a call that a limit counts."""
    return costs[rule.metric] if rule.metric is not INPUT_TOKENS else round(costs[INPUT_TOKENS] * rule.uncached)


def _is_stated(rule: Rule, meter: Meter) -> bool:
    """Return whether answers may state this limit."""
    return meter.visible and rule.shown


def _meter_of(shown: Meter | ShownLimit | None) -> Meter | None:
    return shown.meter() if isinstance(shown, ShownLimit) else shown
