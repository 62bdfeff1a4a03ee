"""The Job that creates topics, the network policy, and the notes: what is there only when asked for."""

from tests.chart.kubernetes import faults, trespasses
from tests.chart.rendering import notes, render

CREATE = {"topics": {"create": True}}


def test_without_being_asked_for_nothing_creates_topics_and_nothing_is_a_hook() -> None:
    rendered = render()
    assert not rendered.of_kind("Job")
    assert not [found for found in rendered.objects if "helm.sh/hook" in str(found["metadata"].get("annotations"))]


def test_asked_for_a_job_runs_the_verb_once_before_the_pods() -> None:
    job = render(CREATE).one("Job", "topics")
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["topics", "create", "--timeout", "60"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["spec"]["backoffLimit"] == 3
    assert faults(job) == []
    assert trespasses(job["spec"]["template"]["spec"]) == []


def test_the_job_has_the_settings_in_a_configmap_that_exists_before_it() -> None:
    rendered = render(CREATE)
    job, configmap = rendered.one("Job", "topics"), rendered.one("ConfigMap", "topics")
    [volume] = [one for one in job["spec"]["template"]["spec"]["volumes"] if one["name"] == "settings"]
    assert volume["configMap"]["name"] == configmap["metadata"]["name"]
    ours, its = job["metadata"]["annotations"], configmap["metadata"]["annotations"]
    assert int(its["helm.sh/hook-weight"]) < int(ours["helm.sh/hook-weight"])
    assert its["helm.sh/hook"] == ours["helm.sh/hook"]
    assert rendered.toml("topics") == rendered.toml("settings")


def test_the_job_needs_nothing_that_the_release_makes_later() -> None:
    pod = render(CREATE).pod("topics")["spec"]
    assert "serviceAccountName" not in pod
    assert pod["automountServiceAccountToken"] is False


def test_the_job_gets_neither_the_openai_key_nor_the_url_of_redis() -> None:
    values = CREATE | {"secrets": {"redisUrl": {"name": "redis"}}}
    pod = render(values).pod("topics")["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["settings", "tmp"]


def test_a_network_policy_is_made_only_when_asked_for_and_opens_the_http_ports() -> None:
    assert not render().of_kind("NetworkPolicy")
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    rendered = render({"networkPolicy": {"enabled": True, "ingressFrom": peers}})
    [policy] = rendered.of_kind("NetworkPolicy")
    assert faults(policy) == []
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert policy["spec"]["ingress"] == [{"from": peers, "ports": [{"protocol": "TCP", "port": "http"}]}]
    selector = policy["spec"]["podSelector"]["matchLabels"]
    assert all(selector.items() <= pod["metadata"]["labels"].items() for _, pod in rendered.pods())


def test_a_network_policy_that_bounds_where_pods_connect_lets_them_ask_for_names() -> None:
    kafka = {"to": [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": 9092}]}
    [policy] = render({"networkPolicy": {"enabled": True, "egress": [kafka]}}).of_kind("NetworkPolicy")
    assert faults(policy) == []
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    names, given = policy["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert given == kafka


def test_the_notes_say_which_secrets_must_exist_and_how_topics_come_into_being() -> None:
    told = notes()
    assert "create secret generic headrace-openai --from-file=api-key=FILE" in told
    assert "--set topics.create=true" in told
    assert "deployment/rel-headrace-dispatcher" in told
    assert "--namespace ai" in told
    assert "redis" not in told.lower(), "no Secret was named for it"


def test_the_notes_of_production_name_all_its_secrets() -> None:
    told = notes(example="production")
    for name in ("openai-production", "headrace-kafka", "headrace-redis"):
        assert f"create secret generic {name} " in told
    assert "topics have been created" in told


def test_the_notes_warn_of_what_is_allowed_and_unwise() -> None:
    assert "Take care" not in notes()
    assert "there is no standby" in notes({"dispatcher": {"replicas": 1}})
    assert "the pod itself" in notes({"config": {"kafka": {"bootstrap_servers": "localhost:9092"}}})
