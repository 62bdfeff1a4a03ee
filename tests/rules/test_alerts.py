"""By promtool: every alert fires and resolves, alone and with its exact words; a healthy budget raises none."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.broker.observability.alerts import ALERTS
from headrace.broker.observability.rules import rule_file
from tests.rules.cases import CASES, Case
from tests.rules.machine import RULES, promtool
from tests.rules.world import GATEWAY, JOB, LEADER, OTHER_GATEWAY, RETRIER, STANDBY, World, flat

HOURS_MIN = 100
"""A longer world is scraped each minute: promtool takes a minute for ten hours of 15 s."""

pytestmark = pytest.mark.timeout(300)

Expected = dict[str, list[dict[str, object]]]


def compared(world: World, expected: dict[float, Expected], folder: Path, ignored: frozenset[str] = frozenset()) -> str:
    """Ask promtool whether at each minute exactly these alerts fire; what differs."""
    asked = [
        {"eval_time": f"{round(minute * 60)}s", "alertname": alert.name, "exp_alerts": alerts.get(alert.name, [])}
        for minute, alerts in expected.items()
        for alert in ALERTS
        if alert.name not in ignored
    ]
    test = {"interval": f"{world.interval_s}s", "input_series": world.input_series(), "alert_rule_test": asked}
    document: dict[str, Any] = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "15s",
        "group_eval_order": [group["name"] for group in rule_file()["groups"]],  # without it, a different one each time
        "tests": [test],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump(document, width=1_000_000))
    done = promtool("test", "rules", str(path))
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_promtool_finds_no_mistake_in_the_rule_file() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_played() -> None:
    assert {case.alert for case in CASES} == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert} {case.name}".strip())
def test_an_alert_fires_alone_with_its_exact_words_and_resolves(case: Case, tmp_path: Path) -> None:
    interval_s = 15 if case.minutes <= HOURS_MIN else 60
    world = World(scrapes=case.minutes * 60 // interval_s, interval_s=interval_s)
    case.play(world)
    others = {other.alert: [other.expected] for other in CASES if other.alert in case.beside}
    fires: Expected = {case.alert: [case.expected], **others}
    assert compared(world, {case.not_before: {}, case.fires_at: fires, case.quiet_at: {}}, tmp_path, case.ignored) == ""


EACH_MINUTE = {float(minute): Expected() for minute in range(1, 60)}


@pytest.mark.parametrize("interval_s", [15, 30, 60])
def test_a_healthy_hour_raises_no_alert(interval_s: int, tmp_path: Path) -> None:
    assert compared(World(scrapes=3_600 // interval_s, interval_s=interval_s), EACH_MINUTE, tmp_path) == ""


@pytest.mark.parametrize("interval_s", [5, 15, 60])
def test_a_failover_within_five_seconds_raises_no_alert(interval_s: int, tmp_path: Path) -> None:
    """The leader dies just after a scrape of the standby: with scrapes of 60 s no process leads for a minute."""
    world = World(scrapes=3_600 // interval_s, interval_s=interval_s)
    dies = world.at(20)
    restarts_as_standby(world, LEADER, dies, dies + world.at(1))
    follows(world, STANDBY, dies + (2 if interval_s == 5 else 1))
    assert compared(world, EACH_MINUTE, tmp_path) == ""


@pytest.mark.parametrize("interval_s", [15, 60])
def test_a_rolling_update_raises_no_alert(interval_s: int, tmp_path: Path) -> None:
    """A new pod comes first, then an old one ends, one by one: the standby, the leader, the retrier, the gateways."""
    world = World(scrapes=3_600 // interval_s, interval_s=interval_s)
    replaced(world, STANDBY, "10.0.1.2:8080", world.at(20))
    replaced(world, LEADER, "10.0.1.1:8080", world.at(22))
    replaced(world, RETRIER, "10.0.1.3:8081", world.at(24))
    replaced(world, GATEWAY, "10.0.1.4:8091", world.at(26))
    replaced(world, OTHER_GATEWAY, "10.0.1.5:8091", world.at(28))
    follows(world, "10.0.1.2:8080", world.at(23) + 1)
    assert compared(world, EACH_MINUTE, tmp_path) == ""


def restarts_as_standby(world: World, instance: str, dies: int, back: int) -> None:
    """Let a process be gone between two scrapes, and come back with its counters at 0 and nothing that it led."""
    alike = dict(world.held)
    for name in [name for name in world.held if f'job="{JOB}", instance="{instance}"' in name]:
        twin = alike.get(name.replace(instance, STANDBY))
        after = flat(None, world.scrapes - back) if twin is None else twin[back:]
        world.held[name] = [*world.held[name][:dies], *flat(None, back - dies), *after]


def replaced(world: World, instance: str, successor: str, starts: int) -> None:
    """Let a new process be scraped from `starts` on, which finds Kafka and Redis at its second scrape; the old ends."""
    counts = world.scrapes - starts
    for name in [name for name in world.held if f'job="{JOB}", instance="{instance}"' in name]:
        metric, labels = name.split("{", 1)
        own = {"headrace_info", "process_start_time_seconds", "headrace_lane_objective_seconds"}
        level = world.held[name][0]
        value = level if metric in own or "dedupe" in metric else 0.0
        begins = [value, 1.0] if metric.endswith("_ready") else [value, value]
        values = [*flat(None, starts), *begins, *flat(begins[1], counts - 2)]
        if metric == "headrace_leader" and instance == RETRIER:
            values = [*flat(None, starts), 0.0, 0.0, *flat(1.0, counts - 2)]
        if not metric.startswith(("headrace_limit", "headrace_charge", "headrace_lag", "headrace_next_call")):
            world.held[f"{metric}{{{labels}".replace(instance, successor)] = values
    world.remove(instance, starts + world.at(1))


def follows(world: World, instance: str, first: int) -> None:
    """Let a dispatcher lead from a scrape on, with counters that go on from what it showed as a standby."""
    after = world.scrapes - first
    for name, values in World(world.scrapes, world.interval_s).held.items():
        if f'job="{JOB}", instance="{LEADER}"' not in name:
            continue
        mine = name.replace(LEADER, instance)
        before = list(world.held.get(mine, flat(None, world.scrapes)))[:first]
        world.held[mine] = [*before, *values[:after]]
