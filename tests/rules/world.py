"""Series of a budget, as a list of scrapes: a healthy hour, of which a test changes what its trouble changes.

A series is a list of values, one for each scrape; None is a scrape without it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

JOB: Final = "leads/headrace"
LEADER, STANDBY, RETRIER = "10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8081"
GATEWAY, OTHER_GATEWAY = "10.0.0.4:8091", "10.0.0.5:8091"
OTHER_JOB: Final = "mails/headrace"
"""A second budget that the same Prometheus scrapes, always healthy: no trouble of the first one may be said of it.
It has no gateway."""

Values = Sequence[float | None]


def series(name: str, instance: str, job: str = JOB, **labels: str) -> str:
    """A series as promtool writes it."""
    said = ", ".join(f'{key}="{value}"' for key, value in {"job": job, "instance": instance, **labels}.items())
    return f"{name}{{{said}}}"


def flat(value: float | None, scrapes: int) -> list[float | None]:
    """The same value at each scrape."""
    return [value] * scrapes


def counter(*spans: tuple[float, int], start: float = 0.0) -> list[float | None]:
    """A counter that grows by so much a scrape, for so many scrapes, span after span."""
    found: list[float | None] = []
    at = start
    for step, scrapes in spans:
        for _ in range(scrapes):
            found.append(at)
            at += step
    return found


@dataclass
class World:
    """One Prometheus' scrapes: every `interval_s`, `scrapes` of them."""

    scrapes: int = 240
    interval_s: int = 15
    held: dict[str, Values] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for job in (JOB, OTHER_JOB):
            for instance, process in ((LEADER, "dispatcher"), (STANDBY, "dispatcher"), (RETRIER, "retrier")):
                self._process(job, instance, process)
            self._dispatcher(job, STANDBY)
            self._dispatcher(job, LEADER)
            self._leading(job, LEADER)
            self.set("headrace_leader", LEADER, self.always(1), job=job)
            self.set("headrace_leader", STANDBY, self.always(0), job=job)
            self.set("headrace_leader", RETRIER, self.always(1), job=job)

        for instance in (GATEWAY, OTHER_GATEWAY):
            self._gateway(JOB, instance)

    def at(self, minutes: float) -> int:
        """The number of the scrape at that minute."""
        return round(minutes * 60 / self.interval_s)

    def always(self, value: float) -> list[float | None]:
        return flat(value, self.scrapes)

    def between(self, first_minute: float, last_minute: float, value: float, other: float | None = 0) -> Values:
        """`value` between two minutes, `other` before and after."""
        first, last = self.at(first_minute), self.at(last_minute)
        return [*flat(other, first), *flat(value, last - first), *flat(other, self.scrapes - last)]

    def grows(self, first_minute: float, last_minute: float, per_minute: float) -> Values:
        """A counter at 0 that grows between two minutes, and stays."""
        first, last, step = self.at(first_minute), self.at(last_minute), per_minute * self.interval_s / 60
        return counter((0, first), (step, last - first), (0, self.scrapes - last))

    def set(self, name: str, instance: str, values: Values, job: str = JOB, **labels: str) -> "World":
        """Replace or add a series."""
        self.held[series(name, instance, job, **labels)] = values
        return self

    def remove(self, instance: str, first: int = 0, last: int | None = None, job: str = JOB) -> "World":
        """Let no scrape of that process succeed from the scrape `first` until before `last`."""
        for name, values in self.held.items():
            if f'job="{job}", instance="{instance}"' in name:
                end = len(values) if last is None else last
                self.held[name] = [*values[:first], *flat(None, end - first), *values[end:]]
        return self

    def input_series(self) -> list[dict[str, str]]:
        return [{"series": name, "values": " ".join(_written(values))} for name, values in self.held.items()]

    # ------------------------------------------------------------------ a healthy budget

    def _process(self, job: str, instance: str, process: str) -> None:
        self.set("headrace_info", instance, self.always(1), job, process=process, prefix="leads", version="1.0.0")
        for name, value in (
            ("headrace_kafka_ready", 1),
            ("headrace_redis_ready", 1),
            ("headrace_parked_requests", 0),
            ("headrace_dedupe_window_seconds", 0 if process == "retrier" else 3_600),
            ("headrace_dedupe_window_configured_seconds", 0 if process == "retrier" else 3_600),
            ("process_start_time_seconds", 1_000_000),
        ):
            self.set(name, instance, self.always(value), job)

    def _dispatcher(self, job: str, instance: str) -> None:
        """What a dispatcher shows from its start, whether it leads or not."""
        for lane, objective_s in (("urgent", 60), ("bulk", 86_400)):
            self.set("headrace_lane_objective_seconds", instance, self.always(objective_s), job, lane=lane)
            for name in ("outcomes_timed_total", "outcomes_late_total", "requests_taken_total"):
                self.set(f"headrace_{name}", instance, self.always(0), job, lane=lane)
            for name in ("backlog_seconds", "backlog_requests"):
                self.set(f"headrace_{name}", instance, self.always(0), job, lane=lane)
        for reason in ("undecodable", "rejected", "crashed", "lost_by_retention", "deadline_exceeded"):
            self.set("headrace_dead_letters_total", instance, self.always(0), job, reason=reason)
        for step in ("encode", "metrics"):
            self.set("headrace_contained_total", instance, self.always(0), job, step=step)
        for result in ("committed", "unknown"):
            self.set("headrace_transactions_total", instance, self.always(0), job, result=result)

    def _gateway(self, job: str, instance: str) -> None:
        """A gateway that answers five calls a scrape, and has none of the dispatchers' series."""
        self.set("headrace_info", instance, self.always(1), job, process="gateway", prefix="leads", version="1.0.0")
        for name, value in (
            ("headrace_gateway_ready", 1),
            ("headrace_gateway_key_file_ready", 1),
            ("headrace_gateway_keys", 3),
            ("headrace_gateway_inflight", 20),
            ("headrace_gateway_inflight_max", 2_500),
            ("headrace_gateway_waiting", 20),
            ("headrace_gateway_connections", 40),
            ("headrace_gateway_hang_ups_total", 0),
            ("headrace_gateway_joins_total", 0),
            ("process_start_time_seconds", 1_000_000),
        ):
            self.set(name, instance, self.always(value), job)
        answers, call = "headrace_gateway_answers_total", {"endpoint": "chat.completions", "lane": "urgent"}
        self.set(answers, instance, counter((self.interval_s / 3, self.scrapes)), job, **call, status="200")
        for status in ("499", "503", "504"):
            self.set(answers, instance, self.always(0), job, **call, status=status)
        self.set(answers, instance, self.grows(0, 60, 30), job, endpoint="other", lane="", status="404")

    def _leading(self, job: str, instance: str) -> None:
        """What it shows besides while it leads: five calls a scrape, of which one in 300 is refused."""
        rate = self.interval_s / 3
        every = counter((rate, self.scrapes))
        for lane in ("urgent", "bulk"):
            self.set("headrace_requests_taken_total", instance, every, job, lane=lane)
            self.set("headrace_outcomes_timed_total", instance, every, job, lane=lane)
            self.set(
                "headrace_outcomes_total",
                instance,
                every,
                job,
                lane=lane,
                model="gpt-4o",
                status="completed",
                reason="",
            )
            self.set("headrace_backlog_seconds", instance, self.always(2), job, lane=lane)
            self.set("headrace_backlog_requests", instance, self.always(3), job, lane=lane)
            self.set("headrace_lag_requests", instance, self.always(0), job, lane=lane)
        self.set("headrace_transactions_total", instance, every, job, result="committed")
        self.set("headrace_attempts_total", instance, every, job, model="gpt-4o", tier="", result="ok")
        self.set(
            "headrace_throttles_total",
            instance,
            counter((rate / 300, self.scrapes)),
            job,
            model="gpt-4o",
            limit="tokens/60s",
        )
        self.set("headrace_foreign_tokens_total", instance, counter((5, self.scrapes)), job, model="gpt-4o")
        for name, value in (("capacity", 100_000), ("level", 40_000)):
            self.set(f"headrace_limit_{name}", instance, self.always(value), job, model="gpt-4o", limit="tokens/60s")
        self.set("headrace_charge_law", instance, self.always(1), job, model="gpt-4o", law="chat-2025")
        self.set("headrace_next_call_seconds", instance, self.always(0), job, model="gpt-4o")
        self.set("headrace_retries_held_back", RETRIER, self.always(0), job, lane="urgent")


def _written(values: Values) -> Iterator[str]:
    """Values in promtool's notation: a scrape that fails after one that did not leaves a stale marker."""
    before: float | None = None
    for value in values:
        if value is None:
            yield "_" if before is None else "stale"
        else:
            yield f"{value:g}" if abs(value) < 1e6 or value != int(value) else str(int(value))
        before = value
