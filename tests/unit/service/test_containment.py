"""Exceptions that ended one request or one observation: counted, logged without content, and never raised again."""

import pytest
from structlog.testing import capture_logs

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.clock import WallClock
from headrace.broker.service.containment import KINDS_MAX, SAID_AGAIN_EVERY_MS, Containment, said, surviving
from headrace.broker.traces import FRAMES_MAX
from tests.unit.service.rig import WALL


class Time:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def made() -> tuple[Containment, Meter, Time]:
    meter, time = Meter(), Time()
    return Containment(meter, WallClock(time, lambda: WALL)), meter, time


def counted(meter: Meter, step: str) -> float | None:
    return meter._registry.get_sample_value("headrace_contained_total", {"step": step})


def raised(error: Exception) -> Exception:
    try:
        raise error  # noqa: TRY301 — so that it has a trace
    except Exception as caught:  # noqa: BLE001 — any, as the callers catch it
        return caught


def test_each_request_that_ends_so_is_counted_and_logged_with_its_trace() -> None:
    containment, meter, _ = made()
    with capture_logs() as lines:
        for number in range(3):
            containment.contained("judge", raised(ValueError("a prompt")), request_id=f"lead-{number}", topic=None)
    assert counted(meter, "judge") == 3
    assert [line["request_id"] for line in lines] == ["lead-0", "lead-1", "lead-2"]
    for line in lines:
        assert (line["event"], line["log_level"], line["step"]) == ("contained", "error", "judge")
        assert line["error"] == "ValueError"
        assert "test_containment.py:" in line["trace"]
        assert "topic" not in line


def test_no_message_of_an_exception_is_logged_for_it_may_quote_a_prompt() -> None:
    containment, _, _ = made()
    with capture_logs() as lines:
        containment.contained("judge", raised(ValueError("a prompt")))
        containment.observed("status", raised(ValueError("a prompt")))
    assert len(lines) == 2
    assert "prompt" not in str(lines)


def test_without_an_exception_it_only_counts() -> None:
    containment, meter, _ = made()
    with capture_logs() as lines:
        containment.contained("decode")
    assert counted(meter, "decode") == 1
    assert not lines


def deep(left: int) -> None:
    if not left:
        raise ValueError
    deep(left - 1)


def test_the_trace_of_a_recursion_is_bounded() -> None:
    containment, _, _ = made()
    with capture_logs() as lines:
        try:
            deep(500)
        except ValueError as error:
            containment.contained("decode", error)
    assert lines[0]["trace"].count(" > ") == FRAMES_MAX - 1


def test_an_observer_that_fails_each_second_is_logged_once_a_minute_and_counted_each_time() -> None:
    containment, meter, time = made()
    with capture_logs() as lines:
        for _ in range(2 * SAID_AGAIN_EVERY_MS // 1_000 + 1):
            with containment.observing("gauges"):
                raise OverflowError
            time.now_s += 1
    assert counted(meter, "gauges") == 121
    assert [line["unsaid"] for line in lines] == [0, 59, 59]
    assert {(line["event"], line["step"], line["error"]) for line in lines} == {
        ("observation_failed", "gauges", "OverflowError")
    }


def test_another_step_or_another_type_is_logged_at_once() -> None:
    containment, _, _ = made()
    with capture_logs() as lines:
        for step, error in (("gauges", OverflowError()), ("status", OverflowError()), ("gauges", KeyError())):
            containment.observed(step, raised(error))
    assert [(line["step"], line["error"]) for line in lines] == [
        ("gauges", "OverflowError"),
        ("status", "OverflowError"),
        ("gauges", "KeyError"),
    ]


def test_the_kinds_that_are_told_apart_are_bounded() -> None:
    containment, _, _ = made()
    with capture_logs():
        for number in range(3 * KINDS_MAX):
            containment.observed(f"step-{number}", ValueError())
            containment.observed(f"step-{number}", ValueError())
            assert len(containment._say_at_ms) <= KINDS_MAX
            assert len(containment._silenced) <= KINDS_MAX


class Rotten(Meter):
    def contained(self, step: str) -> None:
        raise RuntimeError


def test_a_meter_that_raises_ends_nothing_and_silences_no_line() -> None:
    containment = Containment(Rotten(), WallClock(Time(), lambda: WALL))
    with capture_logs() as lines:
        containment.contained("call", raised(ValueError()))
        containment.observed("gauges", raised(ValueError()))
    assert [line["event"] for line in lines] == ["contained", "observation_failed"]


def test_what_ends_a_process_on_purpose_is_no_failed_observation() -> None:
    containment, meter, _ = made()
    with pytest.raises(KeyboardInterrupt), containment.observing("gauges"):
        raise KeyboardInterrupt
    assert counted(meter, "gauges") is None


class Nameless(type):
    """A kind of exception that not even its name can be told of."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]  # it is meant to be wrong
        raise RuntimeError


class Untold(Exception, metaclass=Nameless):  # noqa: N818 — named for what it is
    pass


def test_an_exception_that_cannot_be_told_ends_nothing_either() -> None:
    containment, meter, _ = made()
    containment.contained("call", Untold())
    containment.observed("gauges", Untold())
    said("status", Untold())
    assert (counted(meter, "call"), counted(meter, "gauges")) == (1, 1)


def test_a_method_that_only_observes_goes_on_after_an_exception() -> None:
    class Observing:
        def __init__(self) -> None:
            self.containment, self.meter, _ = made()
            self.seen: list[int] = []

        @surviving("gauges")
        def look(self, number: int) -> None:
            if number == 13:
                raise ValueError
            self.seen.append(number)

    observing = Observing()
    with capture_logs() as lines:
        for number in (12, 13, 14):
            observing.look(number)
    assert observing.seen == [12, 14]
    assert counted(observing.meter, "gauges") == 1
    assert [(line["step"], line["error"]) for line in lines] == [("gauges", "ValueError")]


def test_where_there_is_no_meter_an_observation_that_failed_is_logged() -> None:
    with capture_logs() as lines:
        said("kafka_probe", ValueError())
    assert [(line["event"], line["step"], line["error"]) for line in lines] == [
        ("observation_failed", "kafka_probe", "ValueError")
    ]
