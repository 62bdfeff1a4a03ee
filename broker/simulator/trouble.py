"""Trouble on demand: which calls fail, are refused for long, or break off, decided by the seed alone.

Each draw is made anew for each call of an id, so that whoever tries again gets through in the end, and the same run
meets the same trouble.

A long 429 speaks of a daily limit of a *project*, in OpenAI's words for one. An account's own daily limit would be a
different story: whoever believes the refusal knows that the account gets one request in so many seconds from then on
and slows down for hours, while our buckets go on as before. `requests_per_day` tells that story, with a bucket.
"""

from dataclasses import dataclass
from typing import Final

from broker.simulator import wording
from broker.simulator.books import IdCount
from broker.simulator.chance import Chance
from broker.simulator.limiter import DAY_US, Level, Metric, Refused
from broker.simulator.reply import Reply
from broker.simulator.settings import UpstreamSettings
from broker.simulator.streams import Break, Manner

FAILURES: Final = (500, 502, 503)


@dataclass(frozen=True, slots=True)
class Luck:
    """What a call's draws depend on."""

    content: bytes
    request_id: str
    count: IdCount


class Trouble:
    """Draws, and the replies that follow from them."""

    def __init__(self, settings: UpstreamSettings, chance: Chance) -> None:
        self._settings = settings
        self._chance = chance

    def refuses_for_long(self, luck: Luck) -> bool:
        """Whether a project's daily limit refuses this call."""
        draw = self._chance.draw(luck.content, f"long 429 {luck.request_id} {luck.count.calls}")
        return draw < self._settings.long_429_rate

    def long_refusal(self, model: str, luck: Luck, levels: dict[Metric, Level]) -> Reply:
        """That refusal. Of all daily limits it is the one that refills a request in the time asked for, or little more.

        `levels` are the account's own; the call takes nothing from them.
        """
        limit = max(1, int(DAY_US // round(self._settings.long_429_s * 1_000_000)))
        refused = Refused(Metric.REQUESTS, DAY_US, limit, limit, 1, DAY_US // limit // 1_000, levels)
        headers = (
            wording.limit_headers(levels)
            | wording.project_headers(Metric.REQUESTS, Level(limit, 0, DAY_US // 1_000))
            | wording.retry_headers(refused)
        )
        body = wording.refusal_body(model, refused, project=wording.PROJECT)
        return Reply(429, body, headers, count=luck.count)

    def failure(self, luck: Luck, delay_s: float) -> Reply | None:
        """The 500, 502 or 503 that an admitted call ends in, or None."""
        draw = self._chance.draw(luck.content, f"error {luck.request_id} {luck.count.admitted}")
        rate = self._settings.error_rate
        if draw >= rate:
            return None
        status = FAILURES[min(int(draw / rate * len(FAILURES)), len(FAILURES) - 1)]
        return Reply(status, wording.failure_body(status), delay_s=delay_s, count=luck.count)

    def break_of(self, luck: Luck, deltas: int) -> Break | None:
        """Where a stream of so many deltas stops short, or None. A cut one has told something."""
        purpose = f"{luck.request_id} {luck.count.admitted}"
        draw = self._chance.draw(luck.content, f"break {purpose}")
        place = self._chance.number(luck.content, f"place {purpose}")
        if draw < self._settings.stream_cut_rate:
            return Break(Manner.CUT, min(deltas, 1 + place % max(1, deltas)))
        if draw < self._settings.stream_cut_rate + self._settings.stream_error_rate:
            manner = Manner.ERROR if place % 2 else Manner.FAILED
            return Break(manner, (place >> 1) % (deltas + 1))
        return None
