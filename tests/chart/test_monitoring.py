"""What the chart gives to Prometheus and Grafana: targets, rules, the dashboard; and who may scrape."""

import copy
import json
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import promql_parser
import pytest
import yaml

from headrace.broker.observability.panels import RATE_WINDOW
from tests.chart import shapes
from tests.chart.kubernetes import faults
from tests.chart.pod_files import settings_in
from tests.chart.rendering import CHART, NAMESPACE, Object, Rendered, Values, notes, render
from tests.chart.test_examples import SECRETS

ALL: Values = {
    "monitoring": {
        "podMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True},
    }
}
SHIPPED = yaml.safe_load((CHART / "files" / "rules.yaml").read_text(encoding="utf-8"))["groups"]
DASHBOARD = json.loads((CHART / "files" / "dashboard.json").read_text(encoding="utf-8"))


def drawn(shown: Any) -> list[Any]:
    """Every panel of a dashboard, those in closed rows too."""
    return [each for one in shown["panels"] for each in (one, *one.get("panels", ()))]


def monitoring(**parts: dict[str, Any]) -> dict[str, Any]:
    """Values with everything on, and these parts changed."""
    given = copy.deepcopy(dict(ALL))
    for name, part in parts.items():
        given["monitoring"][name] |= part
    return given


def monitor(values: Values = ALL, **how: Any) -> Object:
    [found] = render(values, **how).of_kind("PodMonitor")
    return found


def endpoint(values: Values = ALL, **how: Any) -> Object:
    [found] = monitor(values, **how)["spec"]["podMetricsEndpoints"]
    assert isinstance(found, dict)
    return found


def groups(values: Values = ALL) -> list[Object]:
    [found] = render(values).of_kind("PrometheusRule")
    return list(found["spec"]["groups"])


def alerts(of: list[Object]) -> list[Object]:
    return [rule for group in of for rule in group["rules"] if "alert" in rule]


def dashboard(rendered: Rendered) -> tuple[Object, Object]:
    """The ConfigMap, and the dashboard in it."""
    found = rendered.one("ConfigMap", "dashboard")
    [text] = found["data"].values()
    return found, json.loads(text)


def test_nothing_for_monitoring_is_made_unless_asked_for() -> None:
    rendered = render()
    assert not [one for one in rendered.objects if one["apiVersion"].startswith("monitoring.coreos.com/")]
    assert [one["metadata"]["name"] for one in rendered.of_kind("ConfigMap")] == ["rel-headrace-settings"]


@pytest.mark.parametrize("kind", shapes.KINDS)
def test_each_custom_kind_keeps_to_the_operators_types_and_schemas(kind: str) -> None:
    values = monitoring(
        podMonitor={
            "timeoutSeconds": 10,
            "relabelings": [{"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}],
            "metricRelabelings": [{"sourceLabels": ["__name__"], "regex": "python_.*", "action": "drop"}],
        },
        prometheusRule={"alertLabels": {"squad": "mail"}},
    )
    [found] = render(values).of_kind(kind)
    assert faults(found) == []


WRONG_FIELDS: dict[str, dict[str, Callable[[Object], Any]]] = {
    "PodMonitor": {
        "intervall": lambda found: found["spec"]["podMetricsEndpoints"][0].update(intervall="15s"),
        "/interval must match": lambda found: found["spec"]["podMetricsEndpoints"][0].update(interval="15 s"),
        "selector": lambda found: found["spec"].pop("selector"),
        "target_label": lambda found: found["spec"]["podMetricsEndpoints"][0]["relabelings"][0].update(
            target_label="x"
        ),
        "'number' is not assignable": lambda found: found["metadata"]["labels"].update(release=1),
    },
    "PrometheusRule": {
        "intervall": lambda found: found["spec"]["groups"][0].update(intervall="15s"),
        "/for must match": lambda found: found["spec"]["groups"][0]["rules"][0].update({"for": "1 minute"}),
        "expr": lambda found: found["spec"]["groups"][0]["rules"][0].pop("expr"),
    },
    "Dashboard": {
        "refesh": lambda found: found.update(refesh="30s"),
        "gridpos": lambda found: found["panels"][1].update(gridpos={}),
        "textMod": lambda found: found["panels"][1]["options"].update(textMod="value"),
        '"valu"': lambda found: found["panels"][1]["options"].update(textMode="valu"),
        "lineWith": lambda found: found["panels"][8]["fieldConfig"]["defaults"].update(custom={"lineWith": 1}),
        "legendFormatt": lambda found: found["panels"][8]["targets"][0].update(legendFormatt="x"),
    },
}
"""What a fault's sentence contains, and what makes it."""


def test_each_wrong_field_of_a_custom_kind_or_the_dashboard_would_be_found() -> None:
    [rules], [targets] = render(ALL).of_kind("PrometheusRule"), render(ALL).of_kind("PodMonitor")
    whole = {"PodMonitor": targets, "PrometheusRule": rules, "Dashboard": DASHBOARD}
    wrong: list[tuple[str, Any]] = []
    expected: list[str] = []
    for shape, faults_made in WRONG_FIELDS.items():
        for fault, make in faults_made.items():
            wrong.append((shape, copy.deepcopy(whole[shape])))
            make(wrong[-1][1])
            expected.append(fault)
    for fault, told in zip(expected, shapes.faults_of(wrong), strict=True):
        assert any(fault in said for said in told), fault


def test_the_dashboard_keeps_to_grafanas_types() -> None:
    assert shapes.faults("Dashboard", DASHBOARD) == []


@pytest.mark.parametrize("more", [{}, {"topics": {"create": True}}, {"nameOverride": "leads"}])
def test_dispatchers_and_retriers_are_scraped_and_nothing_else_is(more: Values) -> None:
    values = {**ALL, **more}
    rendered = render(values)
    selector = monitor(values)["spec"]["selector"]
    [expression] = selector["matchExpressions"]
    assert expression["operator"] == "In"
    scraped = [
        name
        for name, pod in rendered.pods()
        if selector["matchLabels"].items() <= pod["metadata"]["labels"].items()
        and pod["metadata"]["labels"][expression["key"]] in expression["values"]
    ]
    assert sorted(scraped) == ["dispatcher", "retrier"]
    for component in scraped:
        [container] = rendered.pod(component)["spec"]["containers"]
        assert endpoint(values)["port"] in [port["name"] for port in container["ports"]]


@pytest.mark.parametrize("release", ["rel", "headrace", "a" * 53])
def test_all_processes_of_a_budget_have_one_job_and_their_pods_name(release: str) -> None:
    found = endpoint(release=release)
    job, instance = found["relabelings"]
    name = monitor(release=release)["metadata"]["name"]
    assert job == {"targetLabel": "job", "replacement": f"{NAMESPACE}/{name}"}
    assert instance == {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}


def test_the_rates_are_taken_over_several_scrapes() -> None:
    window_s = promql_parser.parse_duration(RATE_WINDOW).total_seconds()
    assert window_s >= 4 * int(endpoint()["interval"].removesuffix("s"))


def test_scrapes_come_as_often_as_the_values_say() -> None:
    assert endpoint()["interval"] == "15s"
    assert "scrapeTimeout" not in endpoint()
    changed = endpoint(monitoring(podMonitor={"intervalSeconds": 5, "timeoutSeconds": 5}))
    assert (changed["interval"], changed["scrapeTimeout"]) == ("5s", "5s")


def test_further_relabelings_come_after_those_of_the_chart() -> None:
    more = {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}
    dropped = {"sourceLabels": ["__name__"], "regex": "python_.*", "action": "drop"}
    found = endpoint(monitoring(podMonitor={"relabelings": [more], "metricRelabelings": [dropped]}))
    assert [one.get("targetLabel") for one in found["relabelings"]] == ["job", "instance", "node"]
    assert found["metricRelabelings"] == [dropped]


def test_labels_by_which_prometheus_selects_are_added_and_replace_none() -> None:
    labels = {"release": "kps", "app.kubernetes.io/component": "mine"}
    values = monitoring(podMonitor={"labels": labels}, prometheusRule={"labels": labels})
    for kind in shapes.KINDS:
        [found] = render(values).of_kind(kind)
        assert found["metadata"]["labels"]["release"] == "kps"
        assert found["metadata"]["labels"]["app.kubernetes.io/component"] != "mine"
    assert "release" not in render(values).pod("dispatcher")["metadata"]["labels"]


def page(rule: Object) -> str:
    """The name of an alert's runbook."""
    return PurePosixPath(rule["annotations"]["runbook_url"]).stem


def test_the_rules_are_those_of_the_file_but_for_their_runbooks() -> None:
    expected = copy.deepcopy(SHIPPED)
    for rule in alerts(expected):
        rule["annotations"]["runbook_url"] = f"docs/runbooks/{page(rule)}.md"
    assert groups() == expected


def test_prometheus_own_templates_pass_unharmed() -> None:
    texts = "".join(text for rule in alerts(SHIPPED) for text in rule["annotations"].values())
    assert "{{ $labels.job }}" in texts, "else this proves nothing"
    assert [rule["annotations"]["summary"] for rule in alerts(groups())] == [
        rule["annotations"]["summary"] for rule in alerts(SHIPPED)
    ]


@pytest.mark.parametrize("url", ["https://docs.example.com/runbooks", "https://docs.example.com/runbooks/"])
@pytest.mark.parametrize("suffix", ["/", ".md", ""])
def test_each_alert_and_the_dashboard_lead_to_the_runbooks(url: str, suffix: str) -> None:
    values = monitoring()
    values["monitoring"] |= {"runbooksUrl": url, "runbooksSuffix": suffix}
    urls = {rule["annotations"]["runbook_url"] for rule in alerts(groups(values))}
    assert urls == {f"https://docs.example.com/runbooks/{page(rule)}{suffix}" for rule in alerts(SHIPPED)}
    shown = dashboard(render(values))[1]
    [link] = shown["links"]
    assert link["url"] == "https://docs.example.com/runbooks/"
    linked = [(one["title"], one["url"]) for panel in drawn(shown) for one in panel.get("links", ())]
    assert linked, "else this proves nothing"
    runbooks = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in alerts(groups(values))}
    assert all(runbooks[alert] == target for alert, target in linked)


def test_severities_are_renamed_and_labels_added_to_alerts_alone() -> None:
    [severity, *_] = sorted({rule["labels"]["severity"] for rule in alerts(SHIPPED)})
    values = monitoring(prometheusRule={"severities": {severity: "page"}, "alertLabels": {"squad": "mail"}})
    for rendered, shipped in zip(groups(values), SHIPPED, strict=True):
        for rule, before in zip(rendered["rules"], shipped["rules"], strict=True):
            if "alert" not in rule:
                assert rule == before
                continue
            expected = "page" if before["labels"]["severity"] == severity else before["labels"]["severity"]
            assert rule["labels"] == before["labels"] | {"severity": expected, "squad": "mail"}


def test_the_sidecar_finds_the_dashboard_and_its_folder() -> None:
    found, shown = dashboard(render(ALL))
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert "annotations" not in found["metadata"]
    expected = copy.deepcopy(DASHBOARD)
    for part in (expected, *drawn(expected)):
        part.update({"links": []} if "links" in part else {})
    assert shown == expected, "a path is no address that a browser could open"
    other = monitoring(dashboard={"label": "shown", "labelValue": "yes", "folderAnnotation": "in", "folder": "Leads"})
    found, _ = dashboard(render(other))
    assert found["metadata"]["labels"]["shown"] == "yes"
    assert "grafana_dashboard" not in found["metadata"]["labels"]
    assert found["metadata"]["annotations"] == {"in": "Leads"}


def test_the_dashboard_is_small_enough_for_an_annotation_of_kubectl() -> None:
    found, _ = dashboard(render(ALL))
    assert len(json.dumps(found)) < 256 * 1024, "kubectl apply keeps a copy in an annotation"


PEER = {"podSelector": {"matchLabels": {"app": "operator"}}}
PROMETHEUS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


@pytest.mark.parametrize(
    ("values", "admitted"),
    [
        ({}, None),
        ({"ingressFrom": [PEER]}, [PEER]),
        ({"monitoringNamespace": "monitoring"}, [PROMETHEUS]),
        ({"ingressFrom": [PEER], "monitoringNamespace": "monitoring"}, [PEER, PROMETHEUS]),
    ],
)
def test_a_network_policy_admits_the_namespace_of_prometheus(values: Values, admitted: list[Object] | None) -> None:
    [policy] = render({"networkPolicy": {"enabled": True} | dict(values)}).of_kind("NetworkPolicy")
    [rule] = policy["spec"]["ingress"]
    assert rule.get("from") == admitted
    assert faults(policy) == []


TOKEN: Values = {"secrets": {"httpToken": {"name": "page", "key": "secret"}}}
SECRET_FILES = {
    "httpToken": ("dispatcher", "http_token", "http-token", "a-token-of-enough-characters"),
    "tracingHeaders": ("tracing", "headers", "tracing-headers", "authorization=hush"),
}
"""Group, key, file and a content of each secret for what is seen of the processes."""


@pytest.mark.parametrize("secret", SECRET_FILES)
@pytest.mark.parametrize("component", ["dispatcher", "retrier"])
def test_secrets_of_page_and_traces_are_files_of_both_processes(secret: str, component: str, tmp_path: Any) -> None:
    group, key, file, content = SECRET_FILES[secret]
    rendered = render({"secrets": {secret: {"name": "given", "key": "secret"}}})
    [container] = rendered.pod(component)["spec"]["containers"]
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert variables[f"HEADRACE_{group.upper()}__{key.upper()}_FILE"] == f"/etc/headrace/secrets/{file}"
    loaded = settings_in(rendered, component, tmp_path, {**SECRETS, ("given", "secret"): content})
    assert loaded.origin(group, key).endswith(f"/etc/headrace/secrets/{file}")


def test_the_job_that_creates_topics_gets_neither() -> None:
    secrets = {secret: {"name": "given"} for secret in SECRET_FILES}
    pod = render({"secrets": secrets, "topics": {"create": True}}).pod("topics")["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["settings", "tmp"]


@pytest.mark.parametrize("port", [8080, 9090])
def test_the_notes_lead_to_the_status_and_to_the_page(port: int) -> None:
    told = notes({"config": {"dispatcher": {"http_port": port}}})
    assert "kubectl --namespace ai exec deployment/rel-headrace-dispatcher -- headrace status" in told
    assert "http://localhost:8080/" in told
    assert f"kubectl --namespace ai port-forward deployment/rel-headrace-dispatcher 8080:{port}" in told
    assert "password" not in told
    assert "its password is the token in the Secret page" in notes(TOKEN)


def test_the_notes_say_what_scrapes_and_what_is_left_to_do() -> None:
    assert "--set monitoring.podMonitor.enabled=true" in notes()
    assert "headrace_backlog_seconds" in notes()
    told = notes(ALL)
    assert "as the job ai/rel-headrace" in told
    assert "headrace_backlog_seconds" not in told
    assert "Take care" not in told
    fenced = {"networkPolicy": {"enabled": True, "ingressFrom": [PEER]}}
    assert "Prometheus must be among networkPolicy.ingressFrom" in notes(dict(ALL) | fenced)
