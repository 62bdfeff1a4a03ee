"""The defaults show nothing beyond this machine; what listens for other hosts is set so explicitly."""

import re
from pathlib import Path

import yaml

from headrace.broker.gateway.keys.file import read_keys
from headrace.broker.gateway.keys.key_text import digest_of
from headrace.broker.settings.urls import is_loopback
from headrace.broker.settings.whole import Settings

ROOT = Path(__file__).parents[3]
VARIABLES = (
    "HEADRACE_DISPATCHER__HTTP_HOST",
    "HEADRACE_RETRIER__HTTP_HOST",
    "HEADRACE_GATEWAY__HTTP_HOST",
    "HEADRACE_GATEWAY__METRICS_HOST",
)


def test_probes_metrics_and_status_are_for_this_machine_unless_set() -> None:
    settings = Settings()
    assert is_loopback(settings.dispatcher.http_host)
    assert is_loopback(settings.retrier.http_host)
    assert is_loopback(settings.gateway.http_host)
    assert is_loopback(settings.gateway.metrics_host)


def test_the_image_says_itself_that_it_listens_for_others() -> None:
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    final = image[image.rindex("\nFROM ") :]
    for name in VARIABLES:
        assert re.findall(rf"\b{name}=(\S+)", final) == ["0.0.0.0"]  # noqa: S104  # nothing is bound here


def test_compose_says_so_as_well_and_publishes_each_port_to_this_machine_only() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name in ("dispatcher-1", "dispatcher-2", "retrier", "gateway"):
        given = {services[name]["environment"].get(variable) for variable in VARIABLES}
        assert given == {"0.0.0.0"}, name  # noqa: S104  # nothing is bound here
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_key_that_compose_shows_is_the_one_of_its_gateway() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    [shown] = set(re.findall(r"Bearer ([\w-]+)", text))
    keys = read_keys(yaml.safe_load(text)["configs"]["demo-keys"]["content"].encode(), name="compose.yaml", lanes=None)
    assert [known.key.name for digest, known in keys.hashes.items() if digest == digest_of(shown)] == ["demo"]
