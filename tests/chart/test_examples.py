"""Default, staging and production: linted, held against Kubernetes' schemas, and read by Headrace itself."""

from pathlib import Path

import pytest

from tests.chart import tools
from tests.chart.kubernetes import faults, trespasses
from tests.chart.pod_files import Secrets, settings_in
from tests.chart.rendering import EXAMPLES, Object, lint, render

an_example = pytest.mark.parametrize("example", EXAMPLES)

SECRETS: Secrets = {
    ("headrace-openai", "api-key"): "sk-default",
    ("openai-staging", "api-key"): "sk-staging",
    ("openai-production", "api-key"): "sk-production",
    ("headrace-kafka", "password"): "of the dispatcher",
    ("headrace-topics-kafka", "password"): "of the one who creates",
    ("headrace-redis", "url"): "rediss://headrace:hush@redis:6380/0",
    ("company-ca", "ca.pem"): "-----BEGIN CERTIFICATE-----",
}


@an_example
def test_helm_lint_finds_nothing_even_when_strict(example: str) -> None:
    done = lint(example)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout
    assert "1 chart(s) linted, 0 chart(s) failed" in done.stdout


@an_example
@pytest.mark.parametrize("version", tools.KUBERNETES)
def test_every_object_keeps_to_the_schemas_of_kubernetes(example: str, version: str) -> None:
    rendered = render(example=example)
    assert len(rendered.objects) >= 8
    for found in rendered.objects:
        assert faults(found, version) == [], found["metadata"]["name"]


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    wrong = render().one("Deployment", "dispatcher")
    wrong["spec"]["replica"] = wrong["spec"].pop("replicas")
    assert any("'replica'" in fault for fault in faults(wrong))
    wrong["apiVersion"] = "apps/v1beta1"
    assert faults(wrong) == ["there is no schema deployment-apps-v1beta1"]


@an_example
def test_every_pod_conforms_to_the_restricted_standard(example: str) -> None:
    for component, pod in render(example=example).pods():
        assert trespasses(pod["spec"]) == [], component


@pytest.mark.parametrize(
    ("pod", "container"),
    [
        ({"hostNetwork": True}, {}),
        ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, {}),
        ({"securityContext": {"runAsNonRoot": False, "seccompProfile": {"type": "RuntimeDefault"}}}, {}),
        ({"securityContext": {"runAsNonRoot": True}}, {}),
        ({}, {"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}),
        ({}, {"privileged": True}),
        ({}, {"allowPrivilegeEscalation": True}),
    ],
)
def test_a_pod_that_offends_against_the_restricted_standard_would_be_found(pod: Object, container: Object) -> None:
    spec = render().pod("dispatcher")["spec"] | pod
    spec["containers"][0]["securityContext"] |= container
    assert trespasses(spec)


@an_example
@pytest.mark.parametrize("component", ["dispatcher", "retrier"])
def test_headrace_accepts_the_settings_it_is_given(example: str, component: str, tmp_path: Path) -> None:
    found = settings_in(render(example=example), component, tmp_path, SECRETS).settings
    expected = {"default": "generation", "staging": "staging.generation", "production": "prod-eu.generation"}
    assert found.kafka.topic_prefix == expected[example]


def test_production_reads_its_secrets_from_files_and_its_limits_from_the_configmap(tmp_path: Path) -> None:
    loaded = settings_in(render(example="production"), "dispatcher", tmp_path, SECRETS)
    found = loaded.settings
    assert found.openai.api_key is not None
    assert found.openai.api_key.get_secret_value() == "sk-production"
    assert found.redis.url.get_secret_value() == "rediss://headrace:hush@redis:6380/0"
    assert found.kafka.password is not None
    assert found.kafka.password.get_secret_value() == "of the dispatcher"
    assert loaded.origin("kafka", "password").endswith("/etc/headrace/secrets/kafka-password")
    assert found.kafka.bootstrap_servers.count(",") == 2
    assert found.kafka.ca_file == "/etc/headrace/kafka-ca/ca.crt"
    assert (tmp_path / "etc/headrace/kafka-ca/ca.crt").read_text() == "-----BEGIN CERTIFICATE-----"
    assert found.limits["gpt-4o"].cap_tokens_per_minute == 400_000
    assert found.lanes["nightly"].order == 4
    assert found.topics.results.partitions == 24


def test_the_retrier_never_sees_the_openai_key(tmp_path: Path) -> None:
    found = settings_in(render(example="production"), "retrier", tmp_path, SECRETS).settings
    assert found.openai.api_key is None
    assert found.kafka.password is not None


def test_the_job_that_creates_topics_is_another_kafka_user_and_knows_no_other_secret(tmp_path: Path) -> None:
    found = settings_in(render(example="production"), "topics", tmp_path, SECRETS).settings
    assert found.kafka.username == "headrace-topics"
    assert found.kafka.password is not None
    assert found.kafka.password.get_secret_value() == "of the one who creates"
    assert found.openai.api_key is None
    assert "hush" not in found.redis.url.get_secret_value()
    assert found.topics.requests.partitions == 12
