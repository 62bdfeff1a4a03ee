"""Kafka connection settings, and the explanation of a failed connection.

aiokafka says `Unable to bootstrap` for a closed port, a wrong password, a wrong mechanism and a wrong certificate alike
(docs/facts/kafka.md §6). So after a failed start the connection is tried again here, one node at a time, where each
cause has an error of its own.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from headrace.broker.errors import AuthenticationError, HeadraceError, RightsError, SettingsError, Unreachable
from headrace.broker.settings.connections import KafkaSettings
from headrace.broker.settings.secrets import SecretError, login

_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_HOSTS_ASKED_MAX = 3
_ASK_MS = 3_000
_CLOSE_S = 0.5
_EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 10, 62, 64
"""OpenSSL's codes of certificate errors."""

DENIED = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    ClusterAuthorizationFailedError,
)
"""Errors by which Kafka says that it knows this user but does not let it."""


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """Address and credentials.

    Attributes:
        bootstrap_servers: `host:port`, several separated by commas.
        security_protocol: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
        sasl_mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; needed with SASL.
        ca_file: Certificates that sign the nodes' own; None: the system's.

    Raises:
        SettingsError: The fields contradict each other, or name or password cannot be sent.
    """

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    @classmethod
    def of(cls, kafka: KafkaSettings) -> Self:
        """Return the connection that the settings describe."""
        return cls(
            bootstrap_servers=kafka.bootstrap_servers,
            security_protocol=kafka.security_protocol,
            sasl_mechanism=kafka.sasl_mechanism,
            username=kafka.username,
            password=kafka.password.get_secret_value() if kafka.password else None,
            ca_file=kafka.ca_file,
        )

    def __post_init__(self) -> None:
        if self.security_protocol not in _PROTOCOLS:
            raise SettingsError(f"kafka.security_protocol must be one of {', '.join(_PROTOCOLS)}.")
        if self.ca_file is not None and not self.security_protocol.endswith("SSL"):
            raise SettingsError(
                f"kafka.ca_file has no effect while kafka.security_protocol is {self.security_protocol}: set that to "
                f"{'SASL_SSL' if self._uses_sasl else 'SSL'}."
            )
        if not self._uses_sasl:
            for name in ("sasl_mechanism", "username", "password"):
                if getattr(self, name) is not None:
                    raise SettingsError(
                        f"kafka.{name} has no effect while kafka.security_protocol is {self.security_protocol}: set "
                        "that to SASL_SSL."
                    )
            return
        if self.sasl_mechanism not in _MECHANISMS:
            raise SettingsError(f"kafka.sasl_mechanism must be one of {', '.join(_MECHANISMS)}.")
        if not self.username or not self.password:
            raise SettingsError(f"kafka.username and kafka.password must be set with {self.security_protocol}.")
        for name, value in (("username", self.username), ("password", self.password)):
            try:
                login(value)
            except SecretError as error:
                raise SettingsError(f"kafka.{name} {error}.") from None

    @property
    def _uses_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL")

    def client_kwargs(self) -> dict[str, Any]:
        """Return the arguments for aiokafka's producer, consumer and admin client.

        Raises:
            SettingsError: `ca_file` cannot be read.
        """
        return {"bootstrap_servers": self.bootstrap_servers, **self.security_kwargs()}

    def security_kwargs(self) -> dict[str, Any]:
        """Return the same arguments without the address."""
        kwargs: dict[str, Any] = {"security_protocol": self.security_protocol}
        if self.security_protocol.endswith("SSL"):
            kwargs["ssl_context"] = self._ssl_context()
        if self._uses_sasl:
            kwargs["sasl_mechanism"] = self.sasl_mechanism
            kwargs["sasl_plain_username"] = self.username
            kwargs["sasl_plain_password"] = self.password
        return kwargs

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as reason:
            raise SettingsError(
                f"kafka.ca_file {self.ca_file} holds no readable certificates: name a file of PEM certificates."
            ) from reason


def user_of(connection: KafkaConnection) -> str:
    """Name the user that Kafka takes us for, as an ACL must name it."""
    return f"user {connection.username or 'ANONYMOUS'}"


async def explain_unreachable(connection: KafkaConnection) -> HeadraceError:
    """Explain why a client could not start: AuthenticationError, SettingsError or Unreachable, in one sentence."""
    explained: HeadraceError | None = None
    for host, port, _ in collect_hosts(connection.bootstrap_servers)[:_HOSTS_ASKED_MAX]:
        reason = await _ask(host, port, connection)
        if reason is None:
            return Unreachable(f"Kafka at {host}:{port} answers again: try once more.")
        if not isinstance(reason, Unreachable):
            return reason
        explained = explained or reason
    return explained or SettingsError("kafka.bootstrap_servers names no host:port.")


async def _ask(host: str, port: int, connection: KafkaConnection) -> HeadraceError | None:
    """Try one connection to one node; return its error, or None if it is accepted."""
    try:
        asked = AIOKafkaConnection(host, port, request_timeout_ms=_ASK_MS, **connection.security_kwargs())
    except SettingsError as reason:
        return reason
    try:
        await asked.connect()
        await asked.send(MetadataRequest([]))  # a port that requires a login accepts a connection, then hangs up
    except (KafkaError, OSError, TimeoutError, AssertionError) as reason:
        return _explained(reason, f"{host}:{port}", connection)
    finally:
        await _closed(asked)
    return None


async def _closed(asked: AIOKafkaConnection) -> None:
    """Close the connection and let the loop notice: else the socket outlives a caller that ends with this answer."""
    was_open = asked._protocol is not None  # noqa: SLF001  # else nothing ever reports that it is closed
    closing = asked.close()
    if was_open:
        await asyncio.wait({closing}, timeout=_CLOSE_S)


def _explained(  # noqa: PLR0911  # a table: one return a reason
    reason: BaseException, node: str, connection: KafkaConnection
) -> HeadraceError:
    match reason:
        case SaslAuthenticationFailed():
            return AuthenticationError(
                f"Kafka at {node} refuses user {connection.username}: check kafka.username and kafka.password."
            )
        case UnsupportedSaslMechanismError() | AssertionError():
            return AuthenticationError(
                f"Kafka at {node} does not know the mechanism {connection.sasl_mechanism}: set kafka.sasl_mechanism."
            )
        case ssl.SSLCertVerificationError():
            return AuthenticationError(_distrusted(reason, node, connection))
        case ssl.SSLError():
            return AuthenticationError(f"Kafka at {node} does not speak TLS: check kafka.security_protocol.")
        case socket.gaierror():
            return Unreachable(f"The host of Kafka {node} cannot be found: check kafka.bootstrap_servers.")
        case ConnectionRefusedError():
            return Unreachable(f"No Kafka listens at {node}: start it, or check kafka.bootstrap_servers.")
        case KafkaError() | ConnectionResetError():
            said = f"closed the {connection.security_protocol} connection"
            return Unreachable(f"Kafka at {node} {said}: check that kafka.security_protocol is what its port speaks.")
    return Unreachable(f"Kafka at {node} does not answer: check kafka.bootstrap_servers and the network.")


def _distrusted(reason: ssl.SSLCertVerificationError, node: str, connection: KafkaConnection) -> str:
    code = getattr(reason, "verify_code", None)
    if code == _EXPIRED:
        return f"The certificate of Kafka at {node} has expired: an operator of Kafka must renew it."
    if code in (_OTHER_HOST, _OTHER_ADDRESS):
        return (
            f"The certificate of Kafka at {node} is for other names: use one of them in kafka.bootstrap_servers, or "
            "have this one added to the certificate."
        )
    trusted = connection.ca_file or "the system's authorities"
    return (
        f"The certificate of Kafka at {node} is not signed by {trusted}: set kafka.ca_file to the certificate of "
        "its CA."
    )


def denied(reason: BaseException, connection: KafkaConnection, *, right: str = "READ or WRITE") -> RightsError:
    """Name the missing right; `right` is the one wanted on a topic."""
    user = user_of(connection)
    named = ", ".join(sorted({str(name) for arg in reason.args for name in ([arg] if isinstance(arg, str) else arg)}))
    match reason:
        case GroupAuthorizationFailedError():
            return RightsError(f"Kafka does not allow {user} to read as group {named}: grant READ on the group.")
        case TransactionalIdAuthorizationFailed():
            return RightsError(
                f"Kafka does not allow {user} to write as {named}: grant WRITE on that transactional id."
            )
        case ClusterAuthorizationFailedError():
            return RightsError(f"Kafka allows {user} to write to no topic: grant WRITE on the topics it writes to.")
    return RightsError(f"Kafka does not allow {user} to use the topic {named}: grant {right} on it.")


@asynccontextmanager
async def kafka_errors_explained(connection: KafkaConnection, *, right: str = "READ or WRITE") -> AsyncIterator[None]:
    """Translate aiokafka's errors raised inside to `headrace.broker.errors`; `right` is the one wanted on the topics.

    Raises:
        RightsError: Kafka knows us and does not let us.
        AuthenticationError, SettingsError, Unreachable: As `explain_unreachable` finds.
    """
    try:
        yield
    except DENIED as reason:
        raise denied(reason, connection, right=right) from reason
    except KafkaConnectionError as reason:
        raise await explain_unreachable(connection) from reason
    except (KafkaError, OSError) as reason:
        place = f"Kafka at {connection.bootstrap_servers}"
        raise Unreachable(f"{place} does not answer as it should: {words_of(reason)}.") from reason


def words_of(error: BaseException) -> str:
    """Return the error's own text, for use at the end of one of our sentences; never empty."""
    return str(error).rstrip(".") or type(error).__name__
