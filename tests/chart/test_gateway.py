"""Gateways as Kubernetes runs them: off unless asked for, reached at one port, probed and scraped at another."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.chart import tools
from tests.chart.kubernetes import faults, trespasses
from tests.chart.pod_files import Secrets, settings_in
from tests.chart.rendering import Object, Rendered, component_of, notes, render
from tests.chart.test_examples import SECRETS

KEYS: Secrets = {**SECRETS, ("gateway-keys", "keys.toml"): "[keys]\n"}
ON: dict[str, Any] = {"enabled": True, "keysSecret": {"name": "gateway-keys"}}


def rendered(config: dict[str, Any] | None = None, others: dict[str, Any] | None = None, **gateway: Any) -> Rendered:
    given = {"config": {"gateway": config}} if config else {}
    return render({"gateway": ON | gateway, **given, **(others or {})})


def of_the_gateway(found: Rendered) -> list[Object]:
    return [each for each in found.objects if component_of(each) == "gateway"]


def container(found: Rendered) -> Object:
    [only] = found.pod("gateway")["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def test_unless_asked_for_there_is_none_and_no_other_pod_hears_of_it() -> None:
    found = render({"monitoring": {"podMonitor": {"enabled": True}}, "topics": {"create": True}})
    assert of_the_gateway(found) == []
    assert "gateway" not in str(found.objects).replace("generation", "")


@pytest.mark.parametrize("version", tools.KUBERNETES)
def test_its_objects_keep_to_the_schemas_of_kubernetes(version: str) -> None:
    found = rendered(
        others={"networkPolicy": {"enabled": True}},
        ingress={"enabled": True, "host": "llm.example.com", "tlsSecret": "tls", "className": "nginx"},
        autoscaling={"enabled": True},
    )
    kinds = sorted(each["kind"] for each in of_the_gateway(found))
    expected = ["Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "Service"]
    assert kinds == expected
    for each in of_the_gateway(found):
        assert faults(each, version) == [], each["kind"]
    assert trespasses(found.pod("gateway")["spec"]) == []


def test_clients_reach_its_api_and_never_its_metrics() -> None:
    found = rendered(others={"networkPolicy": {"enabled": True}, "monitoring": {"podMonitor": {"enabled": True}}})
    ports = {port["name"]: port["containerPort"] for port in container(found)["ports"]}
    assert ports == {"http": 8_091, "api": 8_090}
    [port] = found.one("Service", "gateway")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, "api")
    probes = {container(found)[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "liveness", "readiness")}
    [monitor] = found.of_kind("PodMonitor")
    [scraped] = monitor["spec"]["podMetricsEndpoints"]
    assert probes == {scraped["port"]} == {"http"}
    assert "gateway" in monitor["spec"]["selector"]["matchExpressions"][0]["values"]
    policies = {
        component_of(each): each["spec"]["ingress"][0]["ports"][0]["port"] for each in found.of_kind("NetworkPolicy")
    }
    assert policies == {"http": "http", "gateway": "api"}


@pytest.mark.parametrize("config", [None, {"http_port": 9_000, "metrics_port": 9_001, "drain_s": 33.5}])
def test_headrace_reads_the_ports_keys_and_topics_that_the_chart_means(
    config: dict[str, Any] | None, tmp_path: Path
) -> None:
    found = rendered(config, {"topics": {"create": True}})
    own = settings_in(found, "gateway", tmp_path / "gateway", KEYS).settings.gateway
    ports = {port["name"]: port["containerPort"] for port in container(found)["ports"]}
    assert ports == {"http": own.metrics_port, "api": own.http_port}
    assert {own.http_host, own.metrics_host} == {"0.0.0.0"}  # noqa: S104  # nothing is bound here
    assert own.enabled
    assert own.keys_file is not None
    assert Path(own.keys_file).read_text(encoding="utf-8") == "[keys]\n"
    assert settings_in(found, "topics", tmp_path / "topics", KEYS).settings.gateway.enabled, "its topics are created"
    granted_s = found.pod("gateway")["spec"]["terminationGracePeriodSeconds"]
    assert granted_s == 5 + math.ceil(own.drain_s) + 10


def test_a_changed_secret_of_keys_reaches_the_pods_without_a_restart() -> None:
    """By `subPath` it never would: the kubelet renews whole folders alone."""
    found = rendered()
    [mount] = [each for each in container(found)["volumeMounts"] if each["name"] == "gateway-keys"]
    assert mount == {"name": "gateway-keys", "mountPath": "/etc/headrace/gateway-keys", "readOnly": True}


def test_only_the_gateway_gets_the_keys_and_it_gets_none_of_openais() -> None:
    found = rendered(others={"topics": {"create": True}})
    with_keys = [name for name, pod in found.pods() if "gateway-keys" in str(pod)]
    assert with_keys == ["gateway"]
    assert "openai" not in str(found.pod("gateway"))


def test_a_pod_that_leaves_is_told_so_after_its_clients_are() -> None:
    assert container(rendered())["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    assert "lifecycle" not in container(rendered(preStopSeconds=0))
    assert rendered(preStopSeconds=30).pod("gateway")["spec"]["terminationGracePeriodSeconds"] == 60


def test_an_autoscaler_and_the_deployment_do_not_both_say_how_many() -> None:
    assert rendered(replicas=7).one("Deployment", "gateway")["spec"]["replicas"] == 7
    found = rendered(replicas=3, autoscaling={"enabled": True, "maxReplicas": 9})
    assert "replicas" not in found.one("Deployment", "gateway")["spec"]
    scaler = found.one("HorizontalPodAutoscaler", "gateway")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 9)
    assert scaler["scaleTargetRef"]["name"] == found.one("Deployment", "gateway")["metadata"]["name"]


def test_its_selectors_find_its_own_pods_alone() -> None:
    found = rendered(others={"networkPolicy": {"enabled": True}})
    for kind in ("Deployment", "Service", "PodDisruptionBudget"):
        selector = found.one(kind, "gateway")["spec"]["selector"]
        labels = selector.get("matchLabels", selector)
        assert [name for name, pod in found.pods() if labels.items() <= pod["metadata"]["labels"].items()] == [
            "gateway"
        ]


def test_routes_lead_to_its_service_and_wait_as_long_as_keys_allow() -> None:
    found = rendered(
        ingress={"enabled": True, "host": "llm.example.com"},
        httpRoute={"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["llm.example.com"]},
    )
    [rule] = found.one("Ingress", "gateway")["spec"]["rules"]
    [path] = rule["http"]["paths"]
    name = found.one("Service", "gateway")["metadata"]["name"]
    assert (path["path"], path["backend"]["service"]) == ("/v1", {"name": name, "port": {"name": "api"}})
    [routed] = found.one("HTTPRoute", "gateway")["spec"]["rules"]
    assert routed["timeouts"] == {"request": "630s", "backendRequest": "630s"}
    assert routed["backendRefs"] == [{"name": name, "port": 80}]


def test_the_notes_say_where_clients_find_it_and_how_its_keys_are_made() -> None:
    told = notes({"gateway": ON})
    assert "http://rel-headrace-gateway.ai/v1" in told
    assert "create secret generic gateway-keys --from-file=keys.toml=FILE" in told
    assert "headrace gateway key new" in told
    assert "gateway" not in notes()
