"""Connections to a dispatcher's three third parties: the address and the login of each."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from headrace.broker.settings import secrets
from headrace.broker.settings.group import Contradiction, ContradictionsError, Group, Seconds
from headrace.broker.settings.urls import PORT_MAX, HttpUrl, RedisUrl
from headrace.schemas.nearest import listed


def _as_one_text(servers: Any) -> Any:
    return ",".join(servers) if isinstance(servers, list) and all(isinstance(one, str) for one in servers) else servers


def _check_servers(servers: str) -> str:
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) <= PORT_MAX:
            raise ValueError(f"has {server.strip()!r} instead of host:port")
    return servers


def _check_redis_url(url: SecretStr) -> SecretStr:
    text = url.get_secret_value().strip()
    RedisUrl.read(text)
    return SecretStr(text)


def _check_http_url(url: str | None) -> str | None:
    if url is not None:
        url = url.strip()
        HttpUrl.read(url)
    return url


def _check_password(password: SecretStr | None) -> SecretStr | None:
    return None if password is None else SecretStr(secrets.login(password.get_secret_value()))


def _check_login_name(name: str | None) -> str | None:
    return None if name is None else secrets.login(name)


def _check_header(text: str | None) -> str | None:
    return None if text is None else secrets.header(text)


def _check_key(key: SecretStr | None) -> SecretStr | None:
    return None if key is None else SecretStr(secrets.key(key.get_secret_value()))


def _keys(named: list[str]) -> tuple[tuple[str, ...], ...]:
    return (("security_protocol",), *((key,) for key in named))


class KafkaSettings(Group):
    """Kafka cluster. `topic_prefix` separates budgets and environments: topics, transactional id and group carry it."""

    bootstrap_servers: Annotated[str, BeforeValidator(_as_one_text), AfterValidator(_check_servers)] = "localhost:9092"
    topic_prefix: str = Field("generation", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=180)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: Annotated[str | None, AfterValidator(_check_login_name)] = None
    password: Annotated[SecretStr | None, AfterValidator(_check_password)] = None
    ca_file: str | None = None

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        login = {"sasl_mechanism": self.sasl_mechanism, "username": self.username, "password": self.password}
        protocol = self.security_protocol
        if protocol.startswith("SASL"):
            absent = [key for key, value in login.items() if value is None]
            found = [Contradiction(f"security_protocol {protocol} needs {listed(absent)}", _keys(absent))] * bool(
                absent
            )
        else:
            found = [
                Contradiction(
                    f"{key} has no effect while security_protocol is {protocol}: set that to SASL_SSL", _keys([key])
                )
                for key, value in login.items()
                if value is not None
            ]
        if self.ca_file is not None and not protocol.endswith("SSL"):
            instead = "SASL_SSL" if protocol.startswith("SASL") else "SSL"
            said = f"ca_file has no effect while security_protocol is {protocol}: set that to {instead}"
            found.append(Contradiction(said, _keys(["ca_file"])))
        if found:
            raise ContradictionsError(*found)
        return self


class RedisSettings(Group):
    """Redis that holds the lease. Its URL may contain a password and is a secret as a whole."""

    url: Annotated[SecretStr, AfterValidator(_check_redis_url)] = SecretStr("redis://localhost:6379/0")
    key_prefix: str = Field("headrace", min_length=1)


class OpenAISettings(Group):
    """OpenAI account and server. OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID and OPENAI_PROJECT_ID are defaults."""

    api_key: Annotated[SecretStr | None, AfterValidator(_check_key)] = None
    base_url: Annotated[str | None, AfterValidator(_check_http_url)] = None
    organization: Annotated[str | None, AfterValidator(_check_header)] = None
    project: Annotated[str | None, AfterValidator(_check_header)] = None
    timeout_s: Seconds = 600
