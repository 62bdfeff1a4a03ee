"""Wrong values of the gateway, each with the beginning of its refusal and what is to be done."""

from typing import Any

from tests.chart.rendering import Values


def _given(config: dict[str, Any], **gateway: Any) -> Values:
    """Values with a gateway that lacks nothing but what these take away."""
    on = {"enabled": True, "keysSecret": {"name": "gateway-keys"}}
    return {"gateway": on | gateway, "config": {"gateway": config}}


GATEWAY_MISTAKES: dict[str, tuple[Values, str, str]] = {
    "a gateway without keys": (_given({}, keysSecret={"name": ""}), "gateway.keysSecret.name", "name the Secret"),
    "two files of keys": (_given({"keys_file": "/keys.toml"}), "config.gateway.keys_file", "leave one of them empty"),
    "one port for clients and metrics": (_given({"metrics_port": 8_090}), "config.gateway.http_port", "of their own"),
    "metrics on any port": (_given({"metrics_port": 0}), "config.gateway.metrics_port", "take 8091"),
    "a gateway on a port of root": (_given({"http_port": 80}), "config.gateway.http_port", "a fixed port"),
    "a gateway for itself": (_given({"http_host": "127.0.0.1"}), "config.gateway.http_host", "leave it out"),
    "metrics for itself": (_given({"metrics_host": "localhost"}), "config.gateway.metrics_host", "leave it out"),
    "less time than a gateway drains": (
        _given({"drain_s": 60}, terminationGracePeriodSeconds=74),
        "gateway.terminationGracePeriodSeconds",
        "10 s more are 75",
    ),
    "an ingress without a host": (_given({}, ingress={"enabled": True}), "gateway.ingress.host", "base URL"),
    "a route without a parent": (
        _given({}, httpRoute={"enabled": True}),
        "gateway.httpRoute.parentRefs",
        "name the Gateway",
    ),
    "more gateways than the most": (
        _given({}, autoscaling={"enabled": True, "maxReplicas": 1}),
        "gateway.autoscaling.maxReplicas",
        "raise it",
    ),
    "an autoscaler of nothing": (
        _given({}, enabled=False, autoscaling={"enabled": True}),
        "gateway.ingress",
        "set that to true",
    ),
    "a gateway's port as a variable": (
        _given({}, extraEnv=[{"name": "HEADRACE_GATEWAY__HTTP_PORT", "value": "1"}]),
        "gateway.extraEnv",
        "set it under config instead",
    ),
}
