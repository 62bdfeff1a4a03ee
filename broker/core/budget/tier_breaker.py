"""Circuit breaker of a service tier of one model: it rests while the tier has no capacity, and other tiers go on.

OpenAI may refuse a request of its flex tier with a 429 that is charged to no limit, for minutes or hours, while the
same model answers every request of another tier (docs/facts/openai.md, §8). Such a refusal says nothing about the limit
or the server. So it counts for the tier alone: after three in a row the tier rests, then one call is sent to it.

Each rest is drawn at random, between 5 seconds and a bound that doubles from 10 seconds to a minute, so that the
requests of many dispatchers do not come back as one wave. Once the tier serves again, each success halves the bound; it
is not forgotten at once, for a tier that refuses every other call would then be asked at its first pace for ever.
"""

from collections.abc import Callable, Container
from typing import Final, NamedTuple

from headrace.broker.core.answers.verdict import OK, Meaning, Verdict
from headrace.broker.core.bounds import TIERS_MAX
from headrace.broker.core.budget.breaker import FAILURES_IN_A_ROW, Breaker
from headrace.broker.core.ticket import ModelTier

REST_MIN_MS: Final = 5_000
REST_FIRST_MS: Final = 10_000
REST_MAX_MS: Final = 60_000
REFUSED_WITHIN_MS: Final = 5_000
"""A call that has been under way for longer is being served: a refusal comes sooner. If a refusal took longer than half
of this, only a call under way for twice the longest refusal counts as served."""
IDLE_MS: Final = 900_000


class CallToTier(NamedTuple):
    """A call that has ended.

    Attributes:
        tier: The tier it asked for.
        verdict: Its answer.
        sent_ms: When it was sent.
        probe: Whether it was the tier's probe.
        is_served: Returns whether a call of the tier sent after an instant has been under way for so many milliseconds,
            longer than a refusal takes: it is served. Its success counts only when it ends, perhaps minutes later.
    """

    tier: ModelTier
    verdict: Verdict
    sent_ms: int
    probe: bool
    is_served: Callable[[int, int], bool]


def rest_ms(bound_ms: int, dice: float) -> int:
    """Return a wait between `REST_MIN_MS` and a bound. `dice` in [0, 1)."""
    return REST_MIN_MS + int((bound_ms - REST_MIN_MS) * dice)


class TierBreaker(Breaker):
    """Breaker of one tier that has refused a call; open while the tier rests."""

    def __init__(self) -> None:
        super().__init__()
        self._bound_ms = REST_FIRST_MS
        self._refusals = 0
        self._refused_ms = -1  # when the last refused call that counts was sent
        self._closed_ms = -1
        self._refusal_took_ms = 0  # the longest, halved with each success but a probe's

    @property
    def is_forgettable(self) -> bool:
        """Whether no refusal counts any more."""
        return self.closed and not self._refusals and self._bound_ms == REST_FIRST_MS

    def release_probe(self, now_ms: int) -> None:
        """Record that the probe ended without a result; the shortest rest follows.

        Otherwise each request that is cut off at its deadline would at once be followed by the next one.
        """
        if self.is_probing:
            self.trip(Meaning.TIER_UNAVAILABLE, now_ms, REST_MIN_MS)

    def record_refusal(self, call: CallToTier, now_ms: int, dice: float) -> None:
        """Count a refused call."""
        if not call.probe and (not self.closed or call.sent_ms <= self._closed_ms):
            return  # out of date: a probe has shown more since
        self._refusal_took_ms = max(self._refusal_took_ms, now_ms - call.sent_ms)
        served_after_ms = max(REFUSED_WITHIN_MS, 2 * self._refusal_took_ms)
        self._refusals = 1 if call.is_served(self._refused_ms, served_after_ms) else self._refusals + 1
        self._refused_ms = call.sent_ms
        if call.probe or self._refusals >= FAILURES_IN_A_ROW:
            rested_ms = max(call.verdict.wait_ms or 0, rest_ms(self._bound_ms, dice))
            self.trip(Meaning.TIER_UNAVAILABLE, now_ms, rested_ms)
            self._bound_ms = min(REST_MAX_MS, 2 * self._bound_ms)

    def record_success(self, now_ms: int, *, probe: bool) -> None:
        """Record that the tier has served a call."""
        if self.closed:
            self._refusals = 0
            self._refusal_took_ms //= 2
            self._bound_ms = max(REST_FIRST_MS, self._bound_ms // 2)
        elif probe:
            self.close()
            self._refusals, self._closed_ms = 0, now_ms


class TierBreakers:
    """The tiers of one limit that have refused calls lately.

    Attributes:
        any_open: Whether one of them rests.
        version: Changes whenever a breaker has opened or closed.
    """

    __slots__ = ("_tiers", "any_open", "version")

    def __init__(self) -> None:
        self.any_open = False
        self.version = 0
        self._tiers: dict[ModelTier, TierBreaker] = {}

    def __len__(self) -> int:
        return len(self._tiers)

    def find(self, tier: ModelTier) -> Breaker | None:
        """Return the breaker of a tier; None if the tier has not refused lately."""
        return self._tiers.get(tier)

    def rests(self, tier: ModelTier) -> bool:
        """Whether a tier's breaker is open."""
        known = self._tiers.get(tier)
        return known is not None and not known.closed

    def resting(self) -> list[tuple[ModelTier, Breaker]]:
        """Return the tiers whose breakers are open."""
        return [(tier, known) for tier, known in self._tiers.items() if not known.closed]

    def forget_idle(self, wanted: Container[ModelTier], now_ms: int) -> list[tuple[ModelTier, Breaker]]:
        """Forget the tiers whose rest ended long ago, and that no request waits for: nothing would probe them.

        Return them with their breakers, which are open.
        """
        idle = [
            (tier, known)
            for tier, known in self.resting()
            if tier not in wanted and not known.is_probing and known.rests_until(now_ms - IDLE_MS) <= now_ms - IDLE_MS
        ]
        for tier, _ in idle:
            del self._tiers[tier]
        if idle:
            self._note_change()
        return idle

    def observe(self, call: CallToTier, now_ms: int, dice: float) -> Breaker | None:
        """Record the end of a call; return the tier's breaker if it has opened or closed.

        Only a refusal of the tier and a success show whether the tier has capacity. `dice` in [0, 1).
        """
        tier, verdict, probe = call.tier, call.verdict, call.probe
        known = self._tiers.get(tier)
        refused = verdict.meaning is Meaning.TIER_UNAVAILABLE
        if known is None and refused:
            known = self._add(tier)
        if known is None:
            return None
        was_closed = known.closed
        if refused:
            known.record_refusal(call, now_ms, dice)
        elif verdict.meaning is OK:
            known.record_success(now_ms, probe=probe)
            if known.is_forgettable:
                del self._tiers[tier]
        elif probe:
            known.release_probe(now_ms)
        if known.closed is was_closed:
            return None
        self._note_change()
        return known

    def _note_change(self) -> None:
        self.any_open = any(not each.closed for each in self._tiers.values())
        self.version += 1

    def _add(self, tier: ModelTier) -> TierBreaker | None:
        """Return the breaker of a tier that refuses for the first time; None if too many others rest."""
        if len(self._tiers) >= TIERS_MAX:
            closed = next((each for each, known in self._tiers.items() if known.closed), None)
            if closed is None:
                return None
            del self._tiers[closed]
        self._tiers[tier] = TierBreaker()
        return self._tiers[tier]
