"""Wrong values: each is refused before anything is rolled out, by a sentence that names the key and can be acted on."""

import json
import re
from typing import Any

import pytest

from headrace.broker.settings.load import examine
from tests.chart.gateway_mistakes import GATEWAY_MISTAKES
from tests.chart.rendering import CHART, Values, refusal, render

SASL = {"config": {"kafka": {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "username": "headrace"}}}


def nested(path: str, value: Any) -> dict[str, Any]:
    """`a.b` and a value as values."""
    for key in reversed(path.split(".")):
        value = {key: value}
    return value  # type: ignore[no-any-return]  # a dict by now


WRONG: dict[str, tuple[Values, str, str]] = {
    # what the schema refuses: where, and what was expected
    "an unknown key": (nested("dispatcher.replica", 3), "/dispatcher", "'replica' not allowed"),
    "an unknown section": (nested("dispatchers", {}), "", "'dispatchers' not allowed"),
    "an unknown setting": (
        nested("config.kafka.bootstrap_server", "kafka:9092"),
        "/config/kafka",
        "'bootstrap_server' not allowed",
    ),
    "a setting of another group": (nested("config.redis.timeout_s", 1), "/config/redis", "'timeout_s' not allowed"),
    "no replicas": (nested("dispatcher.replicas", 0), "/dispatcher/replicas", "got 0, want 1"),
    "replicas as text": (nested("retrier.replicas", "two"), "/retrier/replicas", "got string, want integer"),
    "yes as text": (nested("topics.create", "yes"), "/topics/create", "got string, want boolean"),
    "a grace too short for a ladder": (
        nested("config.dispatcher.grace_s", 5),
        "/config/dispatcher/grace_s",
        "got 5, want 10",
    ),
    "an unknown protocol": (
        nested("config.kafka.security_protocol", "TLS"),
        "/config/kafka/security_protocol",
        "must be one of 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'",
    ),
    "an unknown charge law": (
        nested("config.limits.gpt-4o.charge_law", "chat"),
        "/config/limits/gpt-4o/charge_law",
        "must be one of 'auto'",
    ),
    "a limit as text": (
        nested("config.limits.gpt-4o.tokens_per_minute", "30k"),
        "/config/limits/gpt-4o/tokens_per_minute",
        "got string, want null or integer",
    ),
    "a share above the whole": (nested("config.lanes.urgent.reserve", 5), "/config/lanes/urgent/reserve", "want 1"),
    "an unknown pull policy": (
        nested("image.pullPolicy", "Sometimes"),
        "/image/pullPolicy",
        "must be one of 'Always', 'IfNotPresent', 'Never'",
    ),
    "a secret as text": (nested("secrets.openaiApiKey", "sk-1"), "/secrets/openaiApiKey", "got string, want object"),
    "a number as a variable": (
        nested("dispatcher.extraEnv", [{"name": "TZ", "value": 1}]),
        "/dispatcher/extraEnv/0/value",
        "got number, want string",
    ),
    # what the templates refuse
    "the key in the settings": (
        nested("config.openai.api_key", "sk-live"),
        "config.openai.api_key",
        "secrets.openaiApiKey.name",
    ),
    "the password in the settings": (
        nested("config.kafka.password", "hush"),
        "config.kafka.password",
        "secrets.kafkaPassword.name",
    ),
    "a password in the URL": (
        nested("config.redis.url", "redis://:hush@redis:6379/0"),
        "config.redis.url",
        "secrets.redisUrl.name",
    ),
    "a password behind the URL": (
        nested("config.redis.url", "redis://redis:6379/0?password=hush"),
        "config.redis.url",
        "secrets.redisUrl.name",
    ),
    "no section": (nested("secrets", None), "", "missing property 'secrets'"),
    "no Kafka": (nested("config.kafka", None), "config.kafka.bootstrap_servers", "name some of Kafka's nodes"),
    "no Redis": (nested("config.redis.url", None), "config.redis.url", "say where Redis is"),
    "no URL": (nested("config.redis.url", "redis:6379"), "config.redis.url", "must begin with redis://"),
    "no key at all": (nested("secrets.openaiApiKey.name", ""), "secrets.openaiApiKey.name", "name the Secret"),
    "two keys": (
        nested("config.openai.api_key_file", "/keys/openai"),
        "config.openai.api_key_file",
        "leave one of them empty",
    ),
    "two URLs": (
        nested("config.redis.url_file", "/keys/redis") | nested("secrets.redisUrl.name", "redis"),
        "config.redis.url_file",
        "leave one of them empty",
    ),
    "a prefix with a blank": (
        nested("config.kafka.topic_prefix", "my topics"),
        "config.kafka.topic_prefix",
        "use letters, digits",
    ),
    "a node without a port": (
        nested("config.kafka.bootstrap_servers", ["kafka-1:9092", "kafka-2"]),
        "config.kafka.bootstrap_servers",
        '"kafka-2" where host:port is expected',
    ),
    "nodes without ports": (
        nested("config.kafka.bootstrap_servers", "kafka-1,kafka-2"),
        "config.kafka.bootstrap_servers",
        '"kafka-1" where host:port is expected',
    ),
    "SASL without a user": (
        nested("config.kafka.security_protocol", "SASL_SSL"),
        "config.kafka.username",
        "SASL_SSL needs it",
    ),
    "SASL without a password": (SASL, "secrets.kafkaPassword.name", "name the Secret that holds it"),
    "a password without SASL": (
        nested("secrets.kafkaPassword.name", "kafka"),
        "secrets.kafkaPassword.name",
        "set that to SASL_SSL",
    ),
    "certificates without SSL": (nested("kafkaCa.secret", "ca"), "kafkaCa", "set that to SSL or SASL_SSL"),
    "certificates from two places": (
        nested("kafkaCa", {"secret": "ca", "configMap": "ca"}),
        "kafkaCa.secret",
        "empty the other",
    ),
    "certificates named twice": (
        nested("kafkaCa.secret", "ca") | nested("config.kafka.ca_file", "/ca.crt"),
        "config.kafka.ca_file",
        "the chart fills it in",
    ),
    "any port": (nested("config.dispatcher.http_port", 0), "config.dispatcher.http_port", "take 8080"),
    "a retrier's port for root": (nested("config.retrier.http_port", 81), "config.retrier.http_port", "below 1024"),
    "a port for root": (nested("config.dispatcher.http_port", 80), "config.dispatcher.http_port", "below 1024"),
    "a port nobody reaches": (
        nested("config.dispatcher.http_host", "127.0.0.1"),
        "config.dispatcher.http_host",
        "leave it out",
    ),
    "less time than the ladder takes": (
        nested("config.dispatcher.grace_s", 60) | nested("dispatcher.terminationGracePeriodSeconds", 60),
        "dispatcher.terminationGracePeriodSeconds",
        "set it to 65 or more",
    ),
    "less time than the retrier's ladder takes": (
        nested("retrier.terminationGracePeriodSeconds", 10),
        "retrier.terminationGracePeriodSeconds",
        "set it to 25 or more",
    ),
    "half a digest": (nested("image.digest", "sha256:abc"), "image.digest", "64 hex digits"),
    "a tag in the repository": (
        nested("image.repository", "registry.example.com:5000/headrace:0.1.0"),
        "image.repository",
        "belongs into image.tag",
    ),
    "root": (nested("podSecurityContext.runAsUser", 0), "podSecurityContext.runAsUser", "keep the default"),
    "perhaps root": (nested("podSecurityContext.runAsNonRoot", False), "podSecurityContext.runAsNonRoot", "true"),
    "no seccomp": (
        nested("podSecurityContext.seccompProfile.type", "Unconfined"),
        "podSecurityContext.seccompProfile.type",
        "RuntimeDefault",
    ),
    "privileged": (nested("containerSecurityContext.privileged", True), "containerSecurityContext.privileged", "not"),
    "more privileges later": (
        nested("containerSecurityContext.allowPrivilegeEscalation", True),
        "containerSecurityContext.allowPrivilegeEscalation",
        "must be false",
    ),
    "a root that is written to": (
        nested("containerSecurityContext.readOnlyRootFilesystem", False),
        "containerSecurityContext.readOnlyRootFilesystem",
        "must be true",
    ),
    "capabilities": (
        nested("containerSecurityContext.capabilities.add", ["SYS_ADMIN"]),
        "containerSecurityContext.capabilities",
        "drop ALL and add none",
    ),
    "a variable the chart computes with": (
        nested("dispatcher.extraEnv", [{"name": "HEADRACE_DISPATCHER__GRACE_S", "value": "300"}]),
        "dispatcher.extraEnv",
        "set it under config",
    ),
    "a secret as a plain variable": (
        nested("dispatcher.extraEnv", [{"name": "OPENAI_API_KEY", "value": "sk-live"}]),
        "dispatcher.extraEnv",
        "put it into a Secret",
    ),
    "a secret as variable and as file": (
        nested("dispatcher.extraEnv", [{"name": "HEADRACE_OPENAI__API_KEY", "valueFrom": {"secretKeyRef": {}}}]),
        "dispatcher.extraEnv",
        "leave one of them out",
    ),
    "a volume of the chart's own": (
        nested("extraVolumes", [{"name": "secrets", "emptyDir": {}}]),
        "extraVolumes",
        "give it another name",
    ),
    "a token as a plain variable": (
        nested("retrier.extraEnv", [{"name": "HEADRACE_DISPATCHER__HTTP_TOKEN", "value": "hush"}]),
        "retrier.extraEnv",
        "put it into a Secret",
    ),
    "scrapes too far apart for the rates": (
        nested("monitoring.podMonitor.intervalSeconds", 90),
        "/monitoring/podMonitor/intervalSeconds",
        "got 90, want 60",
    ),
    "an interval as Kubernetes writes it": (
        nested("monitoring.podMonitor.intervalSeconds", "15s"),
        "/monitoring/podMonitor/intervalSeconds",
        "got string, want integer",
    ),
    "a label that is a number": (
        nested("monitoring.dashboard.labelValue", 1),
        "/monitoring/dashboard/labelValue",
        "got number, want string",
    ),
    "a scrape longer than the interval": (
        nested("monitoring.podMonitor", {"enabled": True, "intervalSeconds": 5, "timeoutSeconds": 10}),
        "monitoring.podMonitor.timeoutSeconds",
        "lower it or leave it empty",
    ),
    "pods scraped twice": (
        nested("monitoring.podMonitor.enabled", True)
        | nested("dispatcher.podAnnotations", {"prometheus.io/scrape": "true"}),
        "dispatcher.podAnnotations",
        "leave one of them out",
    ),
    "two namespaces in one": (
        nested("networkPolicy.monitoringNamespace", "monitoring,grafana"),
        "networkPolicy.monitoringNamespace",
        "name one namespace",
    ),
    "a dashboard's label of the chart's own": (
        nested("monitoring.dashboard", {"enabled": True, "label": "app.kubernetes.io/name"}),
        "monitoring.dashboard.label",
        "that Grafana's sidecar looks for",
    ),
    "an alert's label as Kubernetes has them": (
        nested("monitoring.prometheusRule", {"enabled": True, "alertLabels": {"example.com/team": "mail"}}),
        "monitoring.prometheusRule.alertLabels",
        "use letters, digits and _ only",
    ),
    "an alert's label that is half a template": (
        nested("monitoring.prometheusRule", {"enabled": True, "alertLabels": {"team": "{{ nope"}}),
        "monitoring.prometheusRule.alertLabels.team",
        "leave the braces out",
    ),
    "a runbook's address with a template that Prometheus does not know": (
        nested("monitoring", {"prometheusRule": {"enabled": True}, "runbooksUrl": "https://docs/{{ .Release.Name }}"}),
        "monitoring.runbooksUrl",
        "leave the braces out",
    ),
    "a login in the collector's address": (
        nested("config.tracing.endpoint", "https://user:hush@collector:4318"),
        "config.tracing.endpoint",
        "secrets.tracingHeaders.name",
    ),
    "a severity for every alert": (
        nested("monitoring.prometheusRule", {"enabled": True, "alertLabels": {"severity": "page"}}),
        "monitoring.prometheusRule.alertLabels",
        "rename severities",
    ),
    "a severity of no rule": (
        nested("monitoring.prometheusRule", {"enabled": True, "severities": {"fatal": "page"}}),
        "monitoring.prometheusRule.severities",
        "which no rule has: there are ",
    ),
    "a spread that is no word": (
        nested("topologySpread", [{"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "Maybe"}]),
        "topologySpread",
        "must be ScheduleAnyway",
    ),
    "a lane that is true": (nested("config.lanes.bulk", True), "config.lanes.bulk", "false to do without it"),
    "a name with capitals": (nested("fullnameOverride", "Headrace"), "fullnameOverride", "use lower-case letters"),
    "a name that begins with a digit": (nested("fullnameOverride", "24-7"), "fullnameOverride", "begin with a letter"),
    "a label without a name": (nested("commonLabels", {"": "x"}), "commonLabels", "no label of Kubernetes"),
    "a label's value with a blank": (
        nested("monitoring.podMonitor.labels", {"team": "lead mails"}),
        "monitoring.podMonitor.labels",
        '"team": "lead mails"',
    ),
    "an annotation with a blank": (
        nested("monitoring.dashboard.folderAnnotation", "grafana folder"),
        "monitoring.dashboard.folderAnnotation",
        "no annotation of Kubernetes",
    ),
    "half a user for the topics": (nested("topics.username", "admin"), "topics.username", "set both, or neither"),
    "the collector's headers in the settings": (
        nested("config.tracing.headers", "authorization=hush"),
        "config.tracing.headers",
        "secrets.tracingHeaders.name",
    ),
    "the token in the settings": (
        nested("config.dispatcher.http_token", "hush"),
        "config.dispatcher.http_token",
        "secrets.httpToken.name",
    ),
    "two tokens": (
        nested("config.dispatcher.http_token_file", "/keys/page") | nested("secrets.httpToken.name", "page"),
        "config.dispatcher.http_token_file",
        "leave one of them empty",
    ),
    **GATEWAY_MISTAKES,
}

CRYPTIC = re.compile(r"anyOf|oneOf|allOf|pattern|nil pointer|wrong type|map\[|%!|<no value>|template:|error calling")


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_value_is_refused_with_a_sentence(wrong: str) -> None:
    values, key, fragment = WRONG[wrong]
    sentence = refusal(values)
    assert fragment in sentence
    if key.startswith("/") or not key:
        assert sentence.startswith(f"at '{key}'"), "the schema says where"
    else:
        assert key in sentence.partition(": ")[0], "the sentence begins with what is wrong"
        assert sentence.endswith("."), "and ends"
    assert not CRYPTIC.search(sentence)
    assert 20 < len(sentence) < 300


@pytest.mark.parametrize("wrong", WRONG)
def test_no_refusal_repeats_a_secret(wrong: str) -> None:
    assert not re.search("hush|sk-", refusal(WRONG[wrong][0]))


def test_every_refusal_of_the_templates_has_its_wrong_value() -> None:
    source = (CHART / "templates" / "_refusals.tpl").read_text(encoding="utf-8")
    written = re.findall(r'fail (?:\(printf )?"((?:[^"\\]|\\.)*)"', source)
    assert len(written) > 25
    sentences = [refusal(values) for values, _, _ in WRONG.values()]
    sentences += [refusal(nested("config.lanes", lanes)) for lanes in LANES.values()]
    for template in written:
        shape = re.sub(r"%(?:[sdq]|\\\.6g)", ".*", re.escape(template))
        assert any(re.fullmatch(shape, sentence) for sentence in sentences), template


LANES: dict[str, dict[str, Any]] = {
    "two of one order": {"bulk": {"order": 1}},
    "a new one of another's order": {"vip": {"order": 2}},
    "three of one order": {"vip": {"order": 3}, "late": {"order": 3}},
    "floors that leave nothing": {"urgent": {"floor": 0.9}},
    "reserves that leave nothing": {"urgent": {"reserve": 0.5}, "bulk": {"reserve": 0.5}},
    "a name that no topic has": {"Fast Lane": {"order": 9}},
    "the control topic's name": {"control": {"order": 9}},
    "none at all": {"urgent": False, "standard": False, "bulk": False},
    "a misspelt name": {"high": {"floor": 0.1}},
}


@pytest.mark.parametrize("lanes", LANES.values(), ids=LANES)
def test_lanes_that_contradict_each_other_are_refused_in_the_words_of_config_check(lanes: dict[str, Any]) -> None:
    [mistake] = examine(environ={"HEADRACE_LANES": json.dumps(lanes)}).mistakes
    sentence = mistake.sentence.replace(" (from the environment variable HEADRACE_LANES)", "")
    head = "config." if sentence.startswith("lanes.") else "config.lanes: "
    assert refusal(nested("config.lanes", lanes)) == f"{head}{sentence}."


@pytest.mark.parametrize(
    "lanes",
    [
        {"bulk": False, "vip": {"order": 3}},
        {"urgent": {"order": 2}, "standard": {"order": 1}},
        {"bulk": {"floor": 0.8}},
    ],
)
def test_lanes_that_agree_are_let_through(lanes: dict[str, Any]) -> None:
    assert render(nested("config.lanes", lanes)).objects
