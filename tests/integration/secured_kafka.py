"""A real Kafka behind TLS, passwords and rights: SASL_SSL with SCRAM-SHA-512, and the StandardAuthorizer.

One node of `headrace.broker.local`'s making with a second listener. The plain one stays, on loopback, for the operator:
a client that connects through it is a super user.
"""

import asyncio
import re
import shlex
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DescribeAclsRequest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.probe import reachable
from headrace.broker.local.cache import cache_dir
from headrace.broker.local.free_ports import accepts, free_ports
from headrace.broker.local.jars import ensure_jars, locked_jars
from headrace.broker.local.kafka import JVM_OPTIONS
from headrace.broker.local.linked import java_command
from headrace.broker.local.processes import Process, spawn, stop
from headrace.broker.local.properties import Node, log_properties, server_properties
from headrace.broker.local.requirements import java
from tests.integration.certificates import STORE_PASSWORD, certify

USERS = (
    "dispatcher",
    "retrier",
    "gateway",
    "producer",
    "reader",
    "operator",
    "replayer",
    "counter",
    "half",
    "onlooker",
    "blind",
    "newcomer",
)
"""The users there are; the password of each is `of-<user>`. None has a right before `grant`."""

TOPIC, GROUP, CLUSTER, TRANSACTIONAL_ID = 2, 3, 4, 5
READ, WRITE, CREATE, DESCRIBE, DESCRIBE_CONFIGS = 3, 4, 5, 8, 10
_LITERAL, _PREFIXED, _ALLOW, _ANY = 3, 4, 3, 1
_READY_WITHIN_S = 60


@dataclass(frozen=True, slots=True)
class Right:
    """One operation on one resource, or on all whose names begin so."""

    resource: int
    name: str
    operation: int
    prefixed: bool = False


@dataclass(frozen=True, slots=True)
class SecuredKafka:
    """Where it is, and what signs its certificate."""

    plain: str
    secured: str
    ca_file: Path
    foreign_ca_file: Path

    def connection(self, user: str, **changed: str | None) -> KafkaConnection:
        """As `user`, by SCRAM over TLS; `changed` plants a mistake."""
        right: dict[str, Any] = {
            "bootstrap_servers": self.secured,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "username": user,
            "password": f"of-{user}",
            "ca_file": str(self.ca_file),
        }
        return KafkaConnection(**(right | changed))

    def environment(self, user: str, **changed: str) -> dict[str, str]:
        """The same as variables for a verb."""
        connection = self.connection(user, **changed)
        keys = ("bootstrap_servers", "security_protocol", "sasl_mechanism", "username", "password", "ca_file")
        return {f"HEADRACE_KAFKA__{key.upper()}": str(getattr(connection, key)) for key in keys}

    async def grant(self, user: str, rights: Sequence[Right]) -> None:
        """Allow `user` these operations, from any host; back once they hold."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.plain)
        await admin.start()
        try:
            for right in rights:
                pattern = _PREFIXED if right.prefixed else _LITERAL
                asked = CreateAclsRequest(
                    right.resource, right.name, pattern, f"User:{user}", "*", right.operation, _ALLOW
                )
                answer = await admin._send_request(asked)
                assert [one[0] for one in answer.creation_responses] == [0], (right, answer)
            while await self._granted(admin, user) < len(rights):
                await asyncio.sleep(0.02)
        finally:
            await admin.close()

    async def _granted(self, admin: AIOKafkaAdminClient, user: str) -> int:
        answer = await admin._send_request(DescribeAclsRequest(_ANY, None, _ANY, f"User:{user}", None, _ANY, _ANY))
        return sum(len(resource[-1]) for resource in answer.resources)


@contextmanager
def secured_kafka() -> Iterator[SecuredKafka]:
    """The server, from a fresh format to its end."""
    with tempfile.TemporaryDirectory(prefix="headrace-secured-") as home:
        directory = Path(home)
        plain, controller, secured = free_ports(3)
        certify(directory, ["server", "stranger"])
        properties = _configure(directory, Node(1, plain, controller), secured)
        jars = ensure_jars(locked_jars(), cache_dir() / "jars")
        program, *linked = java_command(java(), jars, cache_dir())
        log4j = f"-Dlog4j2.configurationFile={(directory / 'log4j2.properties').as_uri()}"
        command = [program, *JVM_OPTIONS, log4j, *linked]
        _format(command, properties)
        server = spawn([*command, "kafka.Kafka", str(properties)], log=directory / "output", directory=directory)
        try:
            _await(server, plain, secured, directory / "log")
            yield SecuredKafka(
                f"127.0.0.1:{plain}", f"127.0.0.1:{secured}", directory / "server.pem", directory / "stranger.pem"
            )
        finally:
            stop([Process(server.pid, home)], grace_s=0)
            server.wait(timeout=5)


def _configure(directory: Path, node: Node, secured: int) -> Path:
    listeners = {"PLAINTEXT": node.port, "SASL_SSL": secured}
    advertised = ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items())
    more = {
        "listeners": f"{advertised},CONTROLLER://127.0.0.1:{node.controller_port}",
        "advertised.listeners": advertised,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": directory / "server.p12",
        "ssl.keystore.password": STORE_PASSWORD,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }
    text = server_properties(node, (node,), directory / "data")  # of a key given twice Java takes the last
    properties = directory / "server.properties"
    properties.write_text(text + "".join(f"{key}={value}\n" for key, value in more.items()))
    (directory / "log4j2.properties").write_text(log_properties(directory / "log"))
    return properties


def _format(command: list[str], properties: Path) -> None:
    cluster_id = "H" + urlsafe_b64encode(token_bytes(16)).decode().rstrip("=")[1:]
    users = [f"SCRAM-SHA-512=[name={user},password=of-{user}]" for user in USERS]
    told = [argument for user in users for argument in ("--add-scram", user)]
    arguments = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties), *told]
    subprocess.run([*command, *arguments], check=True, capture_output=True, timeout=_READY_WITHIN_S)


def _await(server: "subprocess.Popen[bytes]", plain: int, secured: int, log: Path) -> None:
    async def both() -> None:
        async with asyncio.timeout(_READY_WITHIN_S):
            while not (accepts(plain) and accepts(secured) and await reachable(f"127.0.0.1:{plain}", timeout_s=8)):
                assert server.poll() is None, log.read_text()[-2_000:]
                await asyncio.sleep(0.05)

    asyncio.run(both())


GUIDE = Path(__file__).parents[2] / "docs" / "operators.md"
OPERATIONS = {
    "Read": READ,
    "Write": WRITE,
    "Create": CREATE,
    "Describe": DESCRIBE,
    "DescribeConfigs": DESCRIBE_CONFIGS,
}


def documented() -> dict[str, list[Right]]:
    """The rights that the operators' guide grants, by user."""
    rights: dict[str, list[Right]] = {}
    for line in re.findall(r"^\$acls (.+)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE):
        words = shlex.split(line)
        given = [(words[at], words[at + 1] if at + 1 < len(words) else "") for at in range(len(words))]
        [user] = [value.removeprefix("User:") for flag, value in given if flag == "--allow-principal"]
        resources = [(TOPIC, value) for flag, value in given if flag == "--topic"]
        resources += [(GROUP, value) for flag, value in given if flag == "--group"]
        resources += [(TRANSACTIONAL_ID, value) for flag, value in given if flag == "--transactional-id"]
        resources += [(CLUSTER, "kafka-cluster") for flag, _ in given if flag == "--cluster"]
        operations = [OPERATIONS[value] for flag, value in given if flag == "--operation"]
        prefixed = "prefixed" in words
        rights.setdefault(user, []).extend(
            Right(kind, name, operation, prefixed) for kind, name in resources for operation in operations
        )
    return rights


def four_mistakes(kafka: SecuredKafka) -> dict[str, tuple[dict[str, str], int]]:
    """What is wrong, the sentence's heart, and the exit code."""
    foreign = str(kafka.foreign_ca_file)
    return {
        "refuses user newcomer: check kafka.username and kafka.password": (
            kafka.environment("newcomer", password="wrong"),
            2,
        ),
        f"is not signed by {foreign}: set kafka.ca_file": (kafka.environment("newcomer", ca_file=foreign), 2),
        "No Kafka listens at 127.0.0.1:1": (kafka.environment("newcomer", bootstrap_servers="127.0.0.1:1"), 3),
        "Kafka (shows user newcomer no topic|allows user newcomer to write to no topic: grant WRITE)": (
            kafka.environment("newcomer"),
            2,
        ),
    }
