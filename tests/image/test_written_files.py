"""What can be judged of Dockerfile and compose.yaml without running them, by the tools that are made for it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from broker.cli.verbs import VERBS
from broker.service.shutdown import ladder
from broker.settings.load import load_settings
from tests.image.engine import EngineError, output
from tests.image.machine import ROOT, checker

COMPOSE = ROOT / "compose.yaml"
OURS = ("dispatcher-1", "dispatcher-2", "retrier", "topics", "openai")


def composed(*args: str, file: Path = COMPOSE) -> str:
    """What Compose makes of the file on a machine where nothing is set."""
    bare = ["env", "-i", f"PATH={os.environ['PATH']}", f"HOME={os.environ.get('HOME', '/')}"]
    return output([*bare, checker("docker-compose"), "-f", str(file), "config", *args])


@pytest.fixture(scope="session")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(composed("--format", "json"))["services"]
    return found


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    output([checker("hadolint"), str(ROOT / "Dockerfile")])


def test_compose_accepts_the_file_and_not_one_with_a_mistake(tmp_path: Path) -> None:
    composed("-q")
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text(encoding="utf-8").replace("stop_grace_period", "stop_grace"), encoding="utf-8")
    with pytest.raises(EngineError, match="stop_grace"):
        composed("-q", file=wrong)


def test_every_part_is_there(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {*OURS, "kafka", "valkey"}


def test_every_verb_and_every_setting_in_it_exists(services: dict[str, dict[str, Any]]) -> None:
    verbs = {verb.name for verb in VERBS}
    for name in OURS:
        assert (services[name].get("command") or ["dispatcher"])[0] in verbs, name
        settings = load_settings(environ=services[name].get("environment") or {})
        assert name == "openai" or settings.kafka.bootstrap_servers == "kafka:19092"


def test_nobody_outside_this_machine_reaches_a_port(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports") or ()]
    assert len(ports) == len({port["published"] for port in ports}) >= 5
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_a_key_of_ones_own_is_not_used_unasked(services: dict[str, dict[str, Any]]) -> None:
    keys = {
        name: (service.get("environment") or {}).get("HEADRACE_OPENAI__API_KEY") for name, service in services.items()
    }
    assert {name for name, key in keys.items() if key is not None} == {"dispatcher-1", "dispatcher-2"}
    assert "OPENAI_API_KEY" not in {
        variable for each in services.values() for variable in each.get("environment") or ()
    }


def test_what_is_ours_may_write_nothing_and_gain_nothing(services: dict[str, dict[str, Any]]) -> None:
    for name in OURS:
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
        assert services[name]["image"] == services["dispatcher-1"]["image"]


def test_a_dispatcher_is_given_the_time_that_its_leaving_takes(services: dict[str, dict[str, Any]]) -> None:
    grace_s = load_settings(environ={}).dispatcher.grace_s
    for name in ("dispatcher-1", "dispatcher-2", "retrier"):
        assert int(services[name]["stop_grace_period"].removesuffix("s")) > max(grace_s, ladder(grace_s).sum_s)


def test_whoever_serves_is_asked_how_it_is(services: dict[str, dict[str, Any]]) -> None:
    assert {name for name, service in services.items() if "healthcheck" in service} == set(services) - {"topics"}
    assert services["topics"]["restart"].startswith("on-failure")
    for name in ("dispatcher-1", "dispatcher-2", "retrier"):
        assert services[name]["depends_on"]["topics"]["condition"] == "service_completed_successfully"
        assert all(str(port["target"]) in services[name]["healthcheck"]["test"][-1] for port in services[name]["ports"])
