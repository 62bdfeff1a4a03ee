"""Each way of not reaching Kafka has a sentence that says what to change."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)

from headrace.broker.adapters.kafka.connection import (
    KafkaConnection,
    _explained,
    denied,
    explain_unreachable,
    kafka_errors_explained,
)
from headrace.broker.adapters.kafka.submit import KafkaSubmit
from headrace.broker.errors import (
    AuthenticationError,
    HeadraceError,
    LogUnavailable,
    RightsError,
    SettingsError,
    Unreachable,
)
from headrace.broker.settings.connections import KafkaSettings
from tests.tcp_server import tcp_server

SASL = KafkaConnection("kafka:9093", "SASL_PLAINTEXT", "SCRAM-SHA-512", "crm", "hunter2")


def distrust(code: int) -> ssl.SSLCertVerificationError:
    reason = ssl.SSLCertVerificationError("x")
    reason.verify_code = code
    return reason


@pytest.fixture
async def garbage() -> AsyncIterator[str]:
    """A port that answers whatever it is told with something that is neither Kafka nor TLS, and hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with tcp_server(answer) as port:
        yield f"127.0.0.1:{port}"


async def test_a_closed_port_and_an_unknown_host_are_unreachable() -> None:
    for servers, said in (("127.0.0.1:1", "No Kafka listens at 127.0.0.1:1"), ("no.invalid:9", "cannot be found")):
        reason = await explain_unreachable(KafkaConnection(servers))
        assert isinstance(reason, Unreachable)
        assert said in str(reason)


async def test_a_port_that_speaks_something_else_is_a_matter_of_the_protocol(garbage: str) -> None:
    reason = await explain_unreachable(KafkaConnection(garbage, "SSL"))
    assert isinstance(reason, AuthenticationError)
    assert "does not speak TLS: check kafka.security_protocol" in str(reason)


async def test_a_producer_that_was_never_let_in_says_why_and_one_that_may_have_sent_does_not_guess(
    garbage: str,
) -> None:
    log = KafkaSubmit(KafkaConnection(garbage, "SSL"))
    refused = await log._away(0.1, "while connecting", is_sent=False)
    assert isinstance(refused, AuthenticationError)
    unknown = await log._away(0.1, "while its acknowledgement was missing", is_sent=True)
    assert isinstance(unknown, LogUnavailable)
    assert "does not speak TLS" in str(unknown)


@pytest.mark.parametrize(
    ("raised", "kind", "said"),
    [
        (SaslAuthenticationFailed("x"), AuthenticationError, "refuses user crm: check kafka.username"),
        (UnsupportedSaslMechanismError("x"), AuthenticationError, "does not know the mechanism SCRAM-SHA-512"),
        (ssl.SSLCertVerificationError("x"), AuthenticationError, "is not signed by the system's authorities"),
        (distrust(10), AuthenticationError, "has expired: an operator of Kafka must renew it"),
        (distrust(62), AuthenticationError, "is for other names: use one of them in kafka.bootstrap_servers"),
        (distrust(64), AuthenticationError, "is for other names"),
        (
            KafkaConnectionError("x"),
            Unreachable,
            "closed the SASL_PLAINTEXT connection: check that kafka.security_protocol",
        ),
        (ConnectionResetError(), Unreachable, "closed the SASL_PLAINTEXT connection"),
        (TimeoutError(), Unreachable, "does not answer"),
    ],
)
def test_every_refusal_names_the_setting_to_look_at(
    raised: BaseException, kind: type[HeadraceError], said: str
) -> None:
    reason = _explained(raised, "kafka:9093", SASL)
    assert isinstance(reason, kind)
    assert said in str(reason)
    assert "hunter2" not in str(reason)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (TopicAuthorizationFailedError("t"), "Kafka does not allow user crm to use the topic t: grant READ on it."),
        (TopicAuthorizationFailedError({"b", "a"}), "use the topic a, b: grant READ"),
        (GroupAuthorizationFailedError("g"), "read as group g: grant READ on the group."),
        (TransactionalIdAuthorizationFailed("i"), "write as i: grant WRITE on that transactional id."),
        (ClusterAuthorizationFailedError(), "Kafka allows user crm to write to no topic: grant WRITE on the topics"),
    ],
)
def test_a_missing_right_is_named_with_who_lacks_it(reason: KafkaError, said: str) -> None:
    assert said in str(denied(reason, SASL, right="READ"))
    assert "user ANONYMOUS" in str(denied(TopicAuthorizationFailedError("t"), KafkaConnection("kafka:9092")))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"security_protocol": "TLS"}, "kafka.security_protocol must be one of"),
        (
            {"username": "a", "password": "b"},
            "kafka.username has no effect while .* is PLAINTEXT: set that to SASL_SSL",
        ),
        ({"security_protocol": "SSL", "sasl_mechanism": "PLAIN"}, "kafka.sasl_mechanism has no effect while .* is SSL"),
        ({"security_protocol": "SASL_SSL"}, "kafka.sasl_mechanism must be one of"),
        ({"ca_file": "ca.pem"}, "kafka.ca_file has no effect while .* is PLAINTEXT: set that to SSL"),
        (
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "PLAIN",
                "username": "a",
                "password": "b",
                "ca_file": "ca.pem",
            },
            "kafka.ca_file has no effect while .* is SASL_PLAINTEXT: set that to SASL_SSL",
        ),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "username": "a"}, "kafka.password must be set"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "username": "a", "password": "b\nc"},
            "kafka.password holds a line break",
        ),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "username": "a\0", "password": "b"},
            "kafka.username holds a line break or a NUL",
        ),
    ],
)
def test_fields_that_contradict_each_other_are_named(fields: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        KafkaConnection("kafka:9092", **fields)


def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pem", tmp_path / "empty.pem"):
        (tmp_path / "empty.pem").write_text("no certificate")
        with pytest.raises(SettingsError, match=path.name):
            KafkaConnection("kafka:9093", "SSL", ca_file=str(path)).client_kwargs()


def test_a_password_is_not_printed() -> None:
    assert "hunter2" not in repr(SASL)
    assert SASL.client_kwargs()["sasl_plain_password"] == "hunter2"


def test_a_connection_is_what_the_settings_say() -> None:
    fields = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "username": "a", "password": "b"}
    assert KafkaConnection.of(KafkaSettings.model_validate({"bootstrap_servers": "kafka:9092"} | fields)) == (
        KafkaConnection("kafka:9092", "SASL_PLAINTEXT", "PLAIN", "a", "b")
    )


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(TopicAuthorizationFailedError("t"), RightsError), (KafkaError("x"), Unreachable), (OSError("x"), Unreachable),
     (KafkaConnectionError("x"), Unreachable)],
)  # fmt: skip
async def test_what_aiokafka_raises_becomes_one_of_ours(raised: Exception, kind: type[HeadraceError]) -> None:
    async def ask() -> None:
        async with kafka_errors_explained(KafkaConnection("127.0.0.1:1")):
            raise raised

    with pytest.raises(kind) as translated:
        await ask()
    assert translated.value.__cause__ is raised


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (NodeNotReadyError("Not ready (node id 1)."), "(node id 1)."),
        (OSError("gone"), "gone."),
        (OSError(), "OSError."),
    ],
)
async def test_a_sentence_with_the_words_of_the_client_ends_in_one_full_stop(reason: Exception, said: str) -> None:
    connection = KafkaConnection("127.0.0.1:9")
    with pytest.raises(Unreachable) as told:
        async with kafka_errors_explained(connection):
            raise reason
    assert str(told.value).endswith(said)
    assert ".." not in str(told.value).removeprefix("Kafka at 127.0.0.1:9")
