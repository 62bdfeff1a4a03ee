"""Faults on demand: calls that fail, are refused for long, get no answer or break off, decided by the seed alone.

Each draw is made anew for each call of an id, so that a retried request gets through in the end, and the same run meets
the same faults. Only a storm has its time: it comes and goes with the seconds since the opening.

A long 429 names a daily limit of a *project*, in OpenAI's words for one. An account's own daily limit would have other
consequences: a client that believes the refusal concludes that from then on the account gets one request in that many
seconds, and slows down for hours, while our buckets go on as before. `requests_per_day` simulates that case, with a
bucket.
"""

from dataclasses import dataclass
from typing import Final

from headrace.broker.simulator import wording
from headrace.broker.simulator.accounting import IdCount
from headrace.broker.simulator.admission import DAY_US, HeaderTriple, Levels, Metric, Refusal
from headrace.broker.simulator.behaviours import troubles
from headrace.broker.simulator.chance import Chance
from headrace.broker.simulator.reply import Reply
from headrace.broker.simulator.response_headers import Speech
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.streams import Break, Manner

FAILURES: Final = (500, 502, 503)


@dataclass(slots=True)
class Luck:
    """Inputs of a call's draws."""

    content: bytes
    request_id: str
    count: IdCount
    tier: str = ""


class Trouble:
    """Draws and the resulting replies. `is_quiet` where no fault but a broken stream can occur."""

    def __init__(self, settings: UpstreamSettings, chance: Chance, speech: Speech) -> None:
        self._settings = settings
        self._chance = chance
        self._speech = speech
        played = settings.behaviours
        self._accounts = [behaviour for behaviour in played if isinstance(behaviour, troubles.AccountTrouble)]
        self._tiers = [behaviour for behaviour in played if isinstance(behaviour, troubles.RefusedTier)]
        self._storms = [behaviour for behaviour in played if isinstance(behaviour, troubles.ErrorStorm)]
        self._drops = [behaviour for behaviour in played if isinstance(behaviour, troubles.DroppedConnections)]
        self._silences = [behaviour for behaviour in played if isinstance(behaviour, troubles.SilentCalls)]
        self._slow = [behaviour for behaviour in played if isinstance(behaviour, troubles.SlowStreams)]
        broken = [behaviour for behaviour in played if isinstance(behaviour, troubles.BrokenStreams)]
        self.is_quiet = not (
            self._accounts
            or self._tiers
            or self._storms
            or self._drops
            or self._silences
            or settings.long_429_rate
            or settings.error_rate
        )
        self._cut_rate = settings.stream_cut_rate + sum(behaviour.cut_rate for behaviour in broken)
        self._error_rate = settings.stream_error_rate + sum(behaviour.error_rate for behaviour in broken)

    def refuses_for_long(self, luck: Luck) -> bool:
        """Whether a project's daily limit refuses this call."""
        rate = self._settings.long_429_rate
        return rate > 0 and self._draw(luck, "long 429", luck.count.calls) < rate

    def long_refusal(self, levels: Levels) -> Refusal:
        """Build that refusal, from the daily limit that refills one request in the configured time, or little more.

        `levels` are the account's own; the call takes nothing from them.
        """
        limit = max(1, int(DAY_US // round(self._settings.long_429_s * 1_000_000)))
        project_levels = {Metric.REQUESTS: HeaderTriple(limit, 0, DAY_US // 1_000)}
        wait_ms = DAY_US // limit // 1_000
        return Refusal(
            Metric.REQUESTS, DAY_US, limit, limit, 1, wait_ms, levels, project=True, project_levels=project_levels
        )

    def turned_away(self, luck: Luck, since_s: float) -> Reply | None:
        """Return the 429 of an account in trouble, the refusal of a service tier, or None."""
        for number, trouble in enumerate(self._accounts):
            if (
                trouble.from_s <= since_s < trouble.to_s
                and self._draw(luck, f"account {number}", luck.count.calls) < trouble.rate
            ):
                gone = trouble.kind is troubles.AccountTroubleKind.INSUFFICIENT_QUOTA
                return Reply(429, wording.quota_body() if gone else wording.slow_down_body(), count=luck.count)
        for number, refused in enumerate(self._tiers):
            if (
                refused.tier == luck.tier
                and refused.from_s <= since_s < refused.to_s
                and self._draw(luck, f"tier {number}", luck.count.calls) < refused.rate
            ):
                return Reply(refused.status, wording.refused_tier_body(refused.status, luck.tier), count=luck.count)
        return None

    def mishap(self, luck: Luck, delay_s: float, since_s: float) -> Reply | None:
        """Return the failure of an admitted call, or None. `since_s` is the time since the opening."""
        return self._stormed(luck, since_s) or self._failure(luck, delay_s) or self._cut_off(luck, delay_s)

    def slowness(self, luck: Luck) -> float:
        """Return the factor on a stream's latency."""
        for number, slow in enumerate(self._slow):
            if self._draw(luck, f"slow {number}", luck.count.admitted) < slow.rate:
                return slow.factor
        return 1.0

    def _stormed(self, luck: Luck, since_s: float) -> Reply | None:
        for number, storm in enumerate(self._storms):
            if storm.from_s <= since_s < storm.to_s:
                draw = self._draw(luck, f"storm {number}", luck.count.admitted)
                if draw < storm.rate:
                    status = storm.statuses[min(int(draw / storm.rate * len(storm.statuses)), len(storm.statuses) - 1)]
                    return self._failed(status, storm.delay_s, luck)
        return None

    def _failure(self, luck: Luck, delay_s: float) -> Reply | None:
        """Return a 500, 502 or 503 at any time, or None."""
        rate = self._settings.error_rate
        if rate == 0 or (draw := self._draw(luck, "error", luck.count.admitted)) >= rate:
            return None
        return self._failed(FAILURES[min(int(draw / rate * len(FAILURES)), len(FAILURES) - 1)], delay_s, luck)

    def _failed(self, status: int, delay_s: float, luck: Luck) -> Reply:
        return Reply(status, self._speech.failure_body(status), delay_s=delay_s, count=luck.count)

    def _cut_off(self, luck: Luck, delay_s: float) -> Reply | None:
        for number, dropped in enumerate(self._drops):
            if (draw := self._draw(luck, f"drop {number}", luck.count.admitted)) < dropped.rate:
                return Reply(499, "", delay_s=delay_s * draw / dropped.rate, count=luck.count, dropped=True)
        for number, silence in enumerate(self._silences):
            if self._draw(luck, f"silence {number}", luck.count.admitted) < silence.rate:
                return Reply(499, "", delay_s=silence.seconds, count=luck.count, dropped=True)
        return None

    def _draw(self, luck: Luck, purpose: str, attempt: int) -> float:
        return self._chance.draw(luck.content, f"{purpose} {luck.request_id} {attempt}")

    def break_of(self, luck: Luck, deltas: int) -> Break | None:
        """Return where a stream of `deltas` deltas stops short, or None. A cut one has sent something."""
        draw = self._draw(luck, "break", luck.count.admitted)
        place = self._chance.number(luck.content, f"place {luck.request_id} {luck.count.admitted}")
        if draw < self._cut_rate:
            return Break(Manner.CUT, min(deltas, 1 + place % max(1, deltas)))
        if draw < self._cut_rate + self._error_rate:
            manner = Manner.ERROR if place % 2 else Manner.FAILED
            return Break(manner, (place >> 1) % (deltas + 1))
        return None
