"""Dispatcher and retrier as Kubernetes runs them: how they start, are probed, roll, leave and are found."""

import re
from pathlib import Path

import pytest

from headrace.broker.service.retrier import LEAVE_WITHIN_S
from headrace.broker.service.shutdown import ladder
from headrace.broker.settings.whole import Settings
from tests.chart.kubernetes import faults
from tests.chart.pod_files import Secrets, settings_in
from tests.chart.rendering import Object, Values, component_of, render
from tests.chart.test_examples import SECRETS as EXAMPLE_SECRETS

SECRETS: Secrets = EXAMPLE_SECRETS
BOTH = ("dispatcher", "retrier")

each = pytest.mark.parametrize("component", BOTH)


def spec_of(component: str, values: Values | None = None, example: str = "default") -> Object:
    spec = render(values, example=example).pod(component)["spec"]
    assert isinstance(spec, dict)
    return spec


@each
def test_two_of_each_run_the_verb_of_their_name(component: str) -> None:
    assert render().one("Deployment", component)["spec"]["replicas"] == 2
    [container] = spec_of(component)["containers"]
    assert container["args"] == [component]
    assert "command" not in container, "the image's entry point is headrace"
    assert container["image"] == "headrace:0.1.0"


def test_the_image_is_pinned_by_its_digest() -> None:
    [container] = spec_of("dispatcher", example="production")["containers"]
    assert container["image"].startswith("registry.example.com/ai/headrace:0.1.0@sha256:")


@pytest.mark.parametrize("example", ["default", "staging", "production"])
def test_the_grace_period_outlasts_the_shutdown_ladder(example: str, tmp_path: Path) -> None:
    rendered = render(example=example)
    grace_s = settings_in(rendered, "dispatcher", tmp_path, SECRETS).settings.dispatcher.grace_s
    granted_s = rendered.pod("dispatcher")["spec"]["terminationGracePeriodSeconds"]
    assert granted_s >= grace_s + 5
    assert granted_s > ladder(grace_s).sum_s + 5


@pytest.mark.parametrize("grace_s", [10, 45, 600])
def test_the_grace_period_follows_the_setting(grace_s: int) -> None:
    spec = spec_of("dispatcher", {"config": {"dispatcher": {"grace_s": grace_s}}})
    assert spec["terminationGracePeriodSeconds"] == grace_s + 5


def test_the_retrier_is_given_what_its_leaving_may_take_whatever_the_dispatchers_grace() -> None:
    for grace_s in (10, 600):
        spec = spec_of("retrier", {"config": {"dispatcher": {"grace_s": grace_s}}})
        assert spec["terminationGracePeriodSeconds"] == LEAVE_WITHIN_S + 5


def test_a_longer_grace_period_is_granted() -> None:
    assert (
        spec_of("dispatcher", {"dispatcher": {"terminationGracePeriodSeconds": 120}})["terminationGracePeriodSeconds"]
        == 120
    )


@each
def test_liveness_asks_for_the_loop_and_readiness_for_the_duty(component: str) -> None:
    [container] = spec_of(component)["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    [port] = container["ports"]
    assert {container[f"{name}Probe"]["httpGet"]["port"] for name in paths} == {port["name"]}


@each
def test_a_pod_may_wait_ten_minutes_for_kafka_before_it_is_started_anew(component: str) -> None:
    [container] = spec_of(component)["containers"]
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 600
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60, "a slow minute kills nobody"


@each
@pytest.mark.parametrize("port", [None, 9_090])
def test_the_port_is_the_one_the_settings_open(component: str, port: int | None, tmp_path: Path) -> None:
    rendered = render({"config": {component: {"http_port": port}}})
    opened = getattr(settings_in(rendered, component, tmp_path, SECRETS).settings, component).http_port
    [container] = rendered.pod(component)["spec"]["containers"]
    assert [opened] == [one["containerPort"] for one in container["ports"]]
    assert [opened] == [one["port"] for one in rendered.one("Service", component)["spec"]["ports"]]


@each
@pytest.mark.parametrize("host", [None, "::"])
def test_it_listens_where_probes_and_scrapes_come_from_whatever_its_default_is(
    component: str, host: str | None, tmp_path: Path
) -> None:
    rendered = render({"config": {component: {"http_host": host}}})
    loaded = settings_in(rendered, component, tmp_path, SECRETS)
    assert getattr(loaded.settings, component).http_host == (host or "0.0.0.0")  # noqa: S104  # nothing is bound here
    assert loaded.origin(component, "http_host").startswith("the environment variable")  # the image sets it there, too


@each
def test_a_rollout_never_has_fewer_ready_than_before(component: str) -> None:
    spec = render().one("Deployment", component)["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert spec["minReadySeconds"] > 0


@each
def test_a_changed_setting_rolls_the_pods_and_nothing_else_does(component: str) -> None:
    def checksum(values: Values | None = None) -> str:
        return str(render(values).pod(component)["metadata"]["annotations"]["checksum/settings"])

    before = checksum()
    assert checksum({"config": {"dispatcher": {"inflight_max": 7}}}) != before
    assert checksum({"secrets": {"redisUrl": {"name": "redis"}}}) != before
    assert checksum({component: {"replicas": 3}}) == before


@each
@pytest.mark.parametrize("kind", ["Deployment", "PodDisruptionBudget", "Service"])
@pytest.mark.parametrize("example", ["default", "production"])
def test_a_selector_finds_the_pods_of_its_component_and_no_other(component: str, kind: str, example: str) -> None:
    rendered = render(example=example)
    selector = rendered.one(kind, component)["spec"]["selector"]
    labels = selector.get("matchLabels", selector)
    matched = [name for name, pod in rendered.pods() if labels.items() <= pod["metadata"]["labels"].items()]
    assert matched == [component]


@each
def test_the_spread_counts_the_pods_of_one_version_of_the_component(component: str) -> None:
    pod = render().pod(component)
    constraints = pod["spec"]["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in constraints] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    for one in constraints:
        assert one["labelSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        assert one["matchLabelKeys"] == ["pod-template-hash"]


def test_a_service_leads_to_the_port_of_its_name() -> None:
    for component in BOTH:
        [port] = render().one("Service", component)["spec"]["ports"]
        [container] = spec_of(component)["containers"]
        assert port["targetPort"] == container["ports"][0]["name"]


@each
def test_a_drain_takes_one_pod_at_a_time_and_waits_for_none_that_is_not_ready(component: str) -> None:
    spec = render().one("PodDisruptionBudget", component)["spec"]
    assert spec["maxUnavailable"] == 1
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@each
def test_no_token_of_the_cluster_is_mounted(component: str) -> None:
    spec = spec_of(component)
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "rel-headrace"
    assert render().one("ServiceAccount", "account")["automountServiceAccountToken"] is False


@each
def test_the_process_is_the_images_user_and_writes_nowhere_but_to_tmp(component: str) -> None:
    spec = spec_of(component)
    [container] = spec["containers"]
    assert spec["securityContext"]["runAsUser"] == 10_001
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]  # noqa: S108 — an emptyDir of the pod's own


@each
def test_a_secret_is_a_file_that_only_the_process_may_read(component: str) -> None:
    spec = spec_of(component, example="production")
    [volume] = [volume for volume in spec["volumes"] if volume["name"] == "secrets"]
    assert volume["projected"]["defaultMode"] == 0o440
    assert spec["securityContext"]["fsGroup"] == 10_001
    [container] = spec["containers"]
    assert not [variable for variable in container["env"] if "secretKeyRef" in variable.get("valueFrom", {})]


@each
def test_the_leader_is_never_throttled_and_never_without_a_bound_on_memory(component: str) -> None:
    resources = spec_of(component)["containers"][0]["resources"]
    assert "cpu" not in resources["limits"]
    assert "memory" in resources["limits"]
    assert set(resources["requests"]) == {"cpu", "memory"}


def test_without_a_retrier_nothing_of_it_is_left() -> None:
    rendered = render({"retrier": {"enabled": False}})
    assert not [found for found in rendered.objects if component_of(found) == "retrier"]
    assert len(rendered.of_kind("Deployment")) == 1


def test_what_a_person_adds_arrives_and_labels_of_ours_stay() -> None:
    values = {
        "commonLabels": {"team": "mail", "app.kubernetes.io/component": "mine"},
        "commonAnnotations": {"owner": "ops"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "only", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "imagePullSecrets": [{"name": "registry"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "dispatcher": {"extraArgs": ["--from-start", "bulk"], "podLabels": {"a": "b"}, "podAnnotations": {"c": "d"}},
    }
    pod = render(values).pod("dispatcher")
    spec = pod["spec"]
    assert pod["metadata"]["labels"].items() >= {"team": "mail", "a": "b"}.items()
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "dispatcher"
    assert pod["metadata"]["annotations"].items() >= {"owner": "ops", "c": "d"}.items()
    for key in ("nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets"):
        assert spec[key] == values[key]
    assert {"name": "more", "emptyDir": {}} in spec["volumes"]
    assert {"name": "more", "mountPath": "/more"} in spec["containers"][0]["volumeMounts"]
    assert spec["containers"][0]["args"] == ["dispatcher", "--from-start", "bulk"]
    assert "a" not in render(values).pod("retrier")["metadata"]["labels"]


@pytest.mark.parametrize("release", ["headrace", "a" * 53, "generation-production-eu-west-1-of-the-lead-mailing"])
@pytest.mark.parametrize("override", ["", "b" * 63])
def test_every_name_is_a_dns_label_and_two_objects_of_a_kind_differ(release: str, override: str) -> None:
    rendered = render({"topics": {"create": True}, "fullnameOverride": override}, release=release)
    names = [(found["kind"], found["metadata"]["name"]) for found in rendered.objects]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 and not name.endswith("-") for _, name in names)


def test_names_that_look_like_numbers_stay_text() -> None:
    values = {
        "image": {"tag": "1.10"},
        "secrets": {"openaiApiKey": {"name": "0x1F", "key": "1e3"}, "redisUrl": {"name": "7", "key": "on"}},
        "priorityClassName": "10",
        "serviceAccount": {"name": "42"},
        "networkPolicy": {"enabled": True},
        "fullnameOverride": "e1",
    }
    for found in render(values, release="123").objects:
        assert faults(found) == [], found["metadata"]["name"]


@pytest.mark.parametrize("tag", ["a" * 62 + ".b", "a" * 100, "1.0_"])
def test_the_version_label_is_a_label_whatever_the_tag(tag: str) -> None:
    label = render({"image": {"tag": tag}}).pod("dispatcher")["metadata"]["labels"]["app.kubernetes.io/version"]
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", label)


def test_a_release_with_dots_in_its_name_has_services() -> None:
    names = {found["metadata"]["name"] for found in render(release="leads.eu").of_kind("Service")}
    assert names == {"leads-eu-headrace-dispatcher", "leads-eu-headrace-retrier"}


def test_a_release_called_headrace_does_not_stutter() -> None:
    assert render(release="headrace").one("Deployment", "dispatcher")["metadata"]["name"] == "headrace-dispatcher"


def test_the_services_of_a_release_called_headrace_become_no_settings() -> None:
    assert all(pod["spec"]["enableServiceLinks"] is False for _, pod in render(release="headrace").pods())


def test_a_grace_that_nobody_set_is_the_one_that_headrace_takes() -> None:
    spec = spec_of("dispatcher", {"config": {"dispatcher": {"grace_s": None}}})
    assert spec["terminationGracePeriodSeconds"] == Settings().dispatcher.grace_s + 5
