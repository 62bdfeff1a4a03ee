"""What Prometheus must see of a process before anything has happened to it."""

import re
from pathlib import Path

from headrace.broker.adapters.prometheus.meter import Meter
from headrace.broker.cli.dead_letters.reasons import EXPLANATIONS
from headrace.broker.service.metrics import at_start
from tests.unit.service.rig import settings_of

ROOT = Path(__file__).parents[4]


def shown_by(show: object) -> set[str]:
    meter = Meter()
    settings = settings_of(lanes={"urgent": {"order": 1, "objective_s": 60}, "own": {"order": 2}})
    show(meter, settings)  # type: ignore[operator]  # one of the two functions of the module
    return set(meter.render().decode().splitlines())


def test_a_dispatcher_begins_with_its_name_its_objectives_and_its_counters_at_zero() -> None:
    shown = shown_by(at_start.show_dispatcher)
    assert any(
        re.fullmatch(r'headrace_info\{prefix="t",process="dispatcher",version=".+"\} 1\.0', line) for line in shown
    )
    assert shown >= {
        'headrace_lane_objective_seconds{lane="urgent"} 60.0',
        'headrace_outcomes_timed_total{lane="urgent"} 0.0',
        'headrace_outcomes_late_total{lane="urgent"} 0.0',
        'headrace_requests_taken_total{lane="own"} 0.0',
        'headrace_dead_letters_total{reason="undecodable"} 0.0',
        'headrace_contained_total{step="encode"} 0.0',
        'headrace_transactions_total{result="unknown"} 0.0',
        "headrace_dedupe_window_configured_seconds 3600.0",
    }


def test_a_lane_without_an_objective_has_no_series_that_speak_of_one() -> None:
    shown = shown_by(at_start.show_dispatcher)
    assert not [line for line in shown if 'lane="own"' in line and ("objective" in line or "outcomes" in line)]


def test_a_retrier_shows_that_it_is_one_and_no_lane() -> None:
    shown = shown_by(at_start.show_retrier)
    assert any('process="retrier"' in line for line in shown)
    assert not [line for line in shown if "lane=" in line]


def test_every_reason_that_a_dead_letter_may_have_begins_at_zero() -> None:
    assert set(at_start.DEAD_LETTER_REASONS) == set(EXPLANATIONS)


def test_every_step_at_which_a_defect_is_contained_begins_at_zero() -> None:
    known = {*at_start.STEPS_OF_REQUESTS, *at_start.STEPS_OF_OBSERVATIONS}
    source = "".join(path.read_text() for room in ("broker", "consumers") for path in (ROOT / room).rglob("*.py"))
    called = re.findall(r'\b(?:contained|observing|observed|surviving)\(\s*"(\w+)"', source)
    assert called
    assert set(called) <= known
