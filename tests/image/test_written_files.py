"""What can be judged of Dockerfile and compose.yaml without running them, by the tools that are made for it."""

from pathlib import Path
from typing import Any

import pytest

from headrace.broker.cli.verbs import VERBS
from headrace.broker.service.shutdown import ladder
from headrace.broker.settings.load import load_settings
from tests.image.composed import COMPOSE, composed, services
from tests.image.engine import EngineError, output
from tests.image.machine import ROOT, checker

OURS = ("dispatcher-1", "dispatcher-2", "retrier", "gateway", "topics", "openai")


@pytest.fixture(scope="session")
def parts() -> dict[str, dict[str, Any]]:
    return services()


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    output([checker("hadolint"), str(ROOT / "Dockerfile")])


def test_compose_accepts_the_file_and_not_one_with_a_mistake(tmp_path: Path) -> None:
    composed("-q")
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text(encoding="utf-8").replace("stop_grace_period", "stop_grace"), encoding="utf-8")
    with pytest.raises(EngineError, match="stop_grace"):
        composed("-q", file=wrong)


def test_every_part_is_there(parts: dict[str, dict[str, Any]]) -> None:
    assert set(parts) == {*OURS, "kafka", "valkey"}


def test_every_verb_and_every_setting_in_it_exists(parts: dict[str, dict[str, Any]]) -> None:
    verbs = {verb.name for verb in VERBS}
    for name in OURS:
        assert (parts[name].get("command") or ["dispatcher"])[0] in verbs, name
        settings = load_settings(environ=parts[name].get("environment") or {})
        assert name == "openai" or settings.kafka.bootstrap_servers == "kafka:19092"


def test_nobody_outside_this_machine_reaches_a_port(parts: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in parts.values() for port in service.get("ports") or ()]
    assert len(ports) == len({port["published"] for port in ports}) >= 5
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_a_key_of_ones_own_is_not_used_unasked(parts: dict[str, dict[str, Any]]) -> None:
    keys = {name: (service.get("environment") or {}).get("HEADRACE_OPENAI__API_KEY") for name, service in parts.items()}
    assert {name for name, key in keys.items() if key is not None} == {"dispatcher-1", "dispatcher-2"}
    assert "OPENAI_API_KEY" not in {variable for each in parts.values() for variable in each.get("environment") or ()}


def test_what_is_ours_may_write_nothing_and_gain_nothing(parts: dict[str, dict[str, Any]]) -> None:
    for name in OURS:
        assert parts[name]["read_only"] is True
        assert parts[name]["cap_drop"] == ["ALL"]
        assert parts[name]["security_opt"] == ["no-new-privileges:true"]
        assert parts[name]["image"] == parts["dispatcher-1"]["image"]


def test_a_dispatcher_is_given_the_time_that_its_leaving_takes(parts: dict[str, dict[str, Any]]) -> None:
    grace_s = load_settings(environ={}).dispatcher.grace_s
    for name in ("dispatcher-1", "dispatcher-2", "retrier", "gateway"):
        assert int(parts[name]["stop_grace_period"].removesuffix("s")) > max(grace_s, ladder(grace_s).sum_s)


def test_whoever_serves_is_asked_how_it_is(parts: dict[str, dict[str, Any]]) -> None:
    assert {name for name, service in parts.items() if "healthcheck" in service} == set(parts) - {"topics"}
    assert parts["topics"]["restart"].startswith("on-failure")
    for name in ("dispatcher-1", "dispatcher-2", "retrier"):
        assert parts[name]["depends_on"]["topics"]["condition"] == "service_completed_successfully"
        assert all(str(port["target"]) in parts[name]["healthcheck"]["test"][-1] for port in parts[name]["ports"])
