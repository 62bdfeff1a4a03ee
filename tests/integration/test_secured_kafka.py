"""Behind TLS, passwords and rights: what is wrong is one sentence, and the rights of the operators' guide suffice."""

import asyncio
import dataclasses
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from headrace.broker.adapters.kafka.connection import KafkaConnection, explain_unreachable
from headrace.broker.adapters.kafka.lanes import KafkaLane
from headrace.broker.adapters.kafka.ledger import KafkaLedger
from headrace.broker.adapters.kafka.topics import create_missing
from headrace.broker.adapters.redis.lease import RedisLease
from headrace.broker.cli.main import main
from headrace.broker.client import GenerationClient
from headrace.broker.errors import (
    AuthenticationError,
    HeadraceError,
    LeaseUnavailable,
    MissingTopic,
    RightsError,
    Unreachable,
)
from headrace.broker.local.record import Endpoints
from headrace.broker.local.services import LocalServices
from headrace.broker.service.preflight.acl_check import check, dispatcher_needs, gateway_needs
from headrace.broker.service.preflight.preflight import find
from headrace.broker.settings.connections import KafkaSettings, RedisSettings
from headrace.broker.settings.whole import Settings
from headrace.broker.simulator.upstream import Upstream
from headrace.consumers.results import ResultReader
from headrace.schemas.codec import encode_failure
from headrace.schemas.failure import FailureKind, RetryableFailure
from headrace.schemas.record import Record
from headrace.schemas.topics import TopicSpec, gateway_topics, topics
from tests.integration.fleet import AS_SHIPPED, Fleet, producing, read_all, request
from tests.integration.prefork import PREFORK
from tests.integration.secured_kafka import (
    DESCRIBE,
    GROUP,
    READ,
    TOPIC,
    TRANSACTIONAL_ID,
    WRITE,
    Right,
    SecuredKafka,
    documented,
    four_mistakes,
    secured_kafka,
)
from tests.integration.test_recovery import plentiful
from tests.integration.test_replays import bury, replay

NEEDS = dispatcher_needs(Settings())
LANES = ("urgent", "standard", "bulk")
WITHOUT_SASL: dict[str, str | None] = {"sasl_mechanism": None, "username": None, "password": None}
BODY = {"model": "gpt-4o-mini", "messages": []}


@pytest.fixture(scope="module")
def kafka(services: LocalServices) -> Iterator[SecuredKafka]:  # noqa: ARG001  # skips or fails as it does
    with secured_kafka() as server:
        yield server


async def make_topics(kafka: SecuredKafka, prefix: str = "generation") -> None:
    """By the operator's own listener, so that no right is needed."""
    await create_missing(KafkaConnection(kafka.plain), topics(prefix, LANES, nodes=1))


@pytest.fixture
def leads(tmp_path: Path) -> str:
    file = tmp_path / "leads.jsonl"
    file.write_text(json.dumps({"id": "a", "lane": "urgent", "body": BODY}))
    return str(file)


@pytest.mark.parametrize("verb", ["topics check", "submit LEADS", "submit LEADS --wait", "results", "report"])
def test_four_mistakes_are_four_sentences(
    kafka: SecuredKafka,
    leads: str,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = set()
    for heart, (environment, exit_code) in four_mistakes(kafka).items():
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        timeout_s = "0.5" if exit_code == 3 else "20"  # only for what may come back is waited
        assert main([*verb.replace("LEADS", leads).split(), "--timeout", timeout_s]) == exit_code, heart
        said = capsys.readouterr()
        assert said.out == ""
        *before, sentence = said.err.splitlines()
        assert re.search(heart, sentence), said.err
        if before:  # the right to read outcomes is missed when the request has been sent
            assert "--wait" in verb
            assert len(before) == 1
            assert before[0].startswith(
                "Stopped: 0 of 1 have their outcome. 1 more may have been sent and it is under way. To"
            )
        told.add(sentence)
    assert len(told) == 4


async def test_a_start_with_a_wrong_password_or_authority_ends_instead_of_waiting(kafka: SecuredKafka) -> None:
    foreign = str(kafka.foreign_ca_file)
    mistakes: dict[str, dict[str, object]] = {
        "refuses user half": {"password": SecretStr("wrong")},
        f"is not signed by {foreign}": {"ca_file": foreign},
    }
    for heart, changed in mistakes.items():
        right = KafkaSettings.model_validate(dataclasses.asdict(kafka.connection("half")))
        with pytest.raises(AuthenticationError, match=heart):
            await find(Settings(kafka=right.model_copy(update=changed)), NEEDS)


async def test_a_dispatcher_and_a_retrier_without_rights_leave_with_one_sentence(
    kafka: SecuredKafka, services: LocalServices
) -> None:
    known = {"HEADRACE_REDIS__URL": services.endpoints.redis_url, "OPENAI_API_KEY": "sk-of-the-tests"}
    environment = os.environ | known | kafka.environment("newcomer")

    async def run(verb: str) -> tuple[int | None, str]:
        process = await PREFORK.run([verb], environment)
        _, said = await process.communicate()
        return process.returncode, said.decode()

    for topic, (code, said) in zip(
        ("requests.urgent", "failures"), await asyncio.gather(run("dispatcher"), run("retrier")), strict=True
    ):
        assert said.startswith(f"headrace: In Kafka user newcomer lacks READ on the topic generation.{topic}; "), said
        assert (code, len(said.splitlines())) == (2, 1)


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        (
            {"sasl_mechanism": "PLAIN"},
            AuthenticationError,
            "does not know the mechanism PLAIN: set kafka.sasl_mechanism",
        ),
        (
            WITHOUT_SASL | {"security_protocol": "PLAINTEXT", "ca_file": None},
            Unreachable,
            "closed the PLAINTEXT connection: check that kafka.security_protocol",
        ),
        (
            WITHOUT_SASL | {"security_protocol": "SSL"},
            Unreachable,
            "closed the SSL connection: check that kafka.security_protocol",
        ),
        ({"security_protocol": "SASL_PLAINTEXT", "ca_file": None}, Unreachable, "closed the SASL_PLAINTEXT connection"),
        ({"bootstrap_servers": "another port"}, Unreachable, "closed the SASL_SSL connection"),
        ({"bootstrap_servers": "another name"}, AuthenticationError, "is for other names: use one of them in"),
    ],
)
async def test_every_other_way_of_not_being_let_in_has_its_sentence(
    kafka: SecuredKafka, changed: dict[str, str | None], kind: type[HeadraceError], said: str
) -> None:
    servers = {"another port": kafka.plain, "another name": kafka.secured.replace("127.0.0.1", "localhost")}
    given = {key: servers.get(value, value) if value else value for key, value in changed.items()}
    connection = kafka.connection("newcomer", **given)
    reason = await explain_unreachable(connection)
    assert isinstance(reason, kind)
    assert said in str(reason)


async def test_every_missing_right_is_named_and_none_that_is_there(kafka: SecuredKafka) -> None:
    await make_topics(kafka)
    half = kafka.connection("half")
    await kafka.grant("half", [Right(TOPIC, "generation.", DESCRIBE, prefixed=True)])
    with pytest.raises(RightsError) as nothing:
        await check(half, NEEDS)
    assert str(nothing.value).count(" on the topic ") == len(NEEDS.read) + len(NEEDS.write)
    await kafka.grant(
        "half",
        [
            Right(TOPIC, "generation.requests.", READ, prefixed=True),
            *(Right(TOPIC, f"generation.{name}", READ) for name in ("control", "ledger")),
            *(Right(TOPIC, f"generation.{name}", WRITE) for name in ("failures", "chunks", "dead-letters", "ledger")),
            Right(TRANSACTIONAL_ID, "generation.dispatcher", WRITE),
        ],
    )
    with pytest.raises(RightsError) as two:
        await check(half, NEEDS)
    assert str(two.value) == (
        "In Kafka user half lacks WRITE on the topic generation.results; READ on the group generation.dispatcher: "
        f"grant it, such as with `kafka-acls.sh --bootstrap-server {kafka.secured} --command-config client.properties "
        "--add --allow-principal User:half --operation Write --topic generation.results`."
    )
    await kafka.grant("half", [Right(TOPIC, "generation.results", WRITE), Right(GROUP, NEEDS.name, READ)])
    await check(half, NEEDS)


async def test_a_gateway_is_told_each_missing_right_and_the_documented_ones_suffice(kafka: SecuredKafka) -> None:
    needs = gateway_needs(Settings())
    await make_topics(kafka)
    await create_missing(KafkaConnection(kafka.plain), gateway_topics("generation", nodes=1))
    with pytest.raises(RightsError) as nothing:
        await check(kafka.connection("newcomer"), needs)
    assert str(nothing.value).count(" on the topic ") == len(needs.read) + len(needs.write)
    assert "READ on the group generation.gateway" in str(nothing.value)
    *others, group = sorted(documented()["gateway"], key=lambda right: right.resource)
    assert group.resource == GROUP
    await kafka.grant("gateway", others)
    with pytest.raises(RightsError, match=r"user gateway lacks READ on the group generation\.gateway: grant it"):
        await check(kafka.connection("gateway"), needs)
    await kafka.grant("gateway", [*others, group])
    await check(kafka.connection("gateway"), needs)


async def test_a_ledger_or_a_lane_that_an_acl_hides_is_not_said_to_be_missing_alone(kafka: SecuredKafka) -> None:
    """A right that is taken from a process that runs: it sees what it would see of a topic that was deleted."""
    await make_topics(kafka, "hidden")
    blind = kafka.connection("blind")
    said = (
        r"^The topic hidden\.{} is missing, or hidden from user blind by an ACL: grant DESCRIBE on it, which READ and "
        r"WRITE include, or run `headrace topics create`\.$"
    )
    ledger, lane = KafkaLedger(blind, topic="hidden.ledger"), KafkaLane(blind, topic="hidden.requests.bulk")
    with pytest.raises(MissingTopic, match=said.format("ledger")):
        await ledger.open(0)
    with pytest.raises(MissingTopic, match=said.format(r"requests\.bulk")):
        await lane.partitions()
    await kafka.grant("blind", [Right(TOPIC, "hidden.", DESCRIBE, prefixed=True)])
    await ledger.open(0)
    assert await lane.partitions()
    await ledger.close()
    await lane.close()
    gone = KafkaLedger(blind, topic="hidden.never")
    with pytest.raises(MissingTopic, match=r"^The topic hidden\.never does not exist"):
        await gone.open(0)


async def test_a_reader_and_a_producer_without_the_right_are_told_which(kafka: SecuredKafka) -> None:
    await make_topics(kafka, "watched")
    onlooker = kafka.connection("onlooker")
    await kafka.grant("onlooker", [Right(TOPIC, "watched.", DESCRIBE, prefixed=True)])
    async with ResultReader(connection=onlooker, topic_prefix="watched", group=None) as results:
        with pytest.raises(RightsError, match=r"use the topic watched\.results: grant READ on it"):
            await anext(results)
    with pytest.raises(RightsError, match="read as group strangers: grant READ on the group"):
        await ResultReader(connection=onlooker, topic_prefix="watched", group="strangers").open()
    async with GenerationClient(connection=onlooker, topic_prefix="watched") as generations:
        with pytest.raises(RightsError, match="allows user onlooker to write to no topic: grant WRITE"):
            await generations.submit(BODY, lane="urgent")
        await kafka.grant("onlooker", [Right(TOPIC, "watched.requests.urgent", WRITE)])
        await generations.submit(BODY, lane="urgent")
        with pytest.raises(RightsError, match=r"use the topic watched\.requests\.bulk: grant WRITE on it"):
            await generations.submit(BODY, lane="bulk")


async def test_a_redis_that_refuses_a_dispatcher_ends_its_start(kafka: SecuredKafka, services: LocalServices) -> None:
    await make_topics(kafka)
    url = services.endpoints.redis_url.replace("redis://", "redis://newcomer:wrong@")
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=kafka.plain), redis=RedisSettings(url=SecretStr(url)))
    with pytest.raises(AuthenticationError, match=r"Redis refuses the user or the password of redis\.url"):
        await find(settings, NEEDS)


async def test_a_certificate_of_redis_that_is_not_trusted_is_said_to_be_one(kafka: SecuredKafka) -> None:
    """Kafka's port stands in for a Redis behind TLS: it gets as far as the certificate, and no further."""
    lease = RedisLease(f"rediss://{kafka.secured}/0", "k", ttl_ms=2_000, token="a")
    with pytest.raises(AuthenticationError, match=r"certificate of Redis.*ssl_ca_certs=FILE") as caught:
        await lease.check()
    assert caught.value.exit_code == 2
    await lease.close()
    trusting = RedisLease(f"rediss://{kafka.secured}/0?ssl_ca_certs={kafka.ca_file}", "k", ttl_ms=2_000, token="a")
    with pytest.raises(LeaseUnavailable):
        await trusting.check()
    await trusting.close()


async def test_the_documented_rights_suffice_to_serve_a_request(
    kafka: SecuredKafka, services: LocalServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user, rights in documented().items():
        await kafka.grant(user, rights)
    for name, value in kafka.environment("operator").items():
        monkeypatch.setenv(name, value)
    assert await asyncio.to_thread(main, ["topics", "create"]) == 0
    assert await asyncio.to_thread(main, ["topics", "check"]) == 0
    endpoints = Endpoints(kafka.plain, services.endpoints.redis_url)
    pair = cast("LocalServices", SimpleNamespace(endpoints=endpoints, kafka_pids=(0,)))  # one node
    async with (
        Upstream(plentiful()) as upstream,
        Fleet(pair, "generation", upstream.base_url, tmp_path, shapes=AS_SHIPPED) as fleet,
    ):
        dispatcher, retrier = await asyncio.gather(
            fleet.start("dispatcher", **kafka.environment("dispatcher")),
            fleet.start("retrier", **kafka.environment("retrier")),
        )
        body = request("lead-1")["body"]
        async with GenerationClient(connection=kafka.connection("producer")) as generations:
            outcome = await generations.generate(body, lane="urgent", id="lead-1", timeout_s=30)  # type: ignore[arg-type]  # an object
        async with ResultReader(connection=kafka.connection("reader"), group="lead-mailer") as results:
            assert (await anext(results)).id == outcome.id == "lead-1"
        await fleet.until(retrier, "leader")
        async with producing(fleet) as producer:  # a failure that is due: through the retrier, back to a lane
            waiting = due(request("lead-2"))
            await producer.send_and_wait(
                "generation.failures", waiting.value, key=waiting.key, headers=list(waiting.headers)
            )
        answered = await read_all(fleet, "results", until=2)
        assert "fresh_work_unknown" not in retrier.said(), "who may write to a lane may ask how far it has grown"
        assert sorted(value["id"] for value in answered.values) == ["lead-1", "lead-2"]
        async with producing(fleet) as producer:
            await bury(producer, fleet, ["lead-3"])
        refused = await replay(fleet, "--yes", **kafka.environment("reader"))
        assert refused.code == 2
        for right in ("READ on the topic generation.dead-letters", "WRITE on the transactional id generation.replay"):
            assert right in refused.err
        await kafka.grant("counter", READS_FOR_A_DRY_RUN)
        counted = await replay(fleet, "--dry-run", "--json", **kafka.environment("counter"))
        assert counted.code == 0, counted.err
        assert (counted.summary["dry_run"], counted.summary["put_back"]) == (True, 1)
        back = await replay(fleet, "--yes", "--json", **kafka.environment("replayer"))
        assert back.code == 0, back.err
        assert back.summary["put_back"] == 1
        answered = await read_all(fleet, "results", until=3)
        assert answered.counts()["lead-3", 0] == 1, "no dispatcher has written its letter: it grants no run"
        assert (await fleet.status(dispatcher))["role"] == "leader"


READS_FOR_A_DRY_RUN = (
    Right(GROUP, "generation.replay.", READ, prefixed=True),
    Right(TOPIC, "generation.dead-letters", READ),
    Right(TOPIC, "generation.results", READ),
)


async def test_a_reply_topic_without_the_right_costs_its_copies_and_one_with_it_has_them(
    kafka: SecuredKafka, services: LocalServices, tmp_path: Path
) -> None:
    await make_topics(kafka)
    plain = KafkaConnection(kafka.plain)
    await create_missing(plain, [TopicSpec(name, 2, 1, {}) for name in ("acme.answers", "acme.denied", "acme.hidden")])
    await kafka.grant("dispatcher", [*documented()["dispatcher"], Right(TOPIC, "acme.denied", READ)])
    endpoints = Endpoints(kafka.plain, services.endpoints.redis_url)
    pair = cast("LocalServices", SimpleNamespace(endpoints=endpoints, kafka_pids=(0,)))  # one node
    allowed = {"HEADRACE_REPLIES__ALLOW": "acme.answers,acme.denied,acme.hidden"}
    async with (
        Upstream(plentiful()) as upstream,
        Fleet(pair, "generation", upstream.base_url, tmp_path, shapes=AS_SHIPPED) as fleet,
    ):
        dispatcher = await fleet.start("dispatcher", **kafka.environment("dispatcher"), **allowed)
        term = (await fleet.until(dispatcher, "leader"))["term"]
        said = dispatcher.said()
        assert "lacks WRITE on the topic acme.denied: grant it" in said
        assert "lacks WRITE on the topic acme.hidden (or topics without any right do not exist): grant it" in said
        async with GenerationClient(connection=plain) as generations:
            for name in ("answers", "denied", "hidden"):
                body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Write."}]}
                asked = generations.generate(body, lane="urgent", id=f"to-{name}", reply_to=f"acme.{name}")
                assert (await asyncio.wait_for(asked, 30)).status == "completed"
        async with ResultReader(connection=plain, group=None, topic="acme.answers") as copies:
            assert (await anext(copies)).id == "to-answers"
        for name in ("denied", "hidden"):
            async with ResultReader(connection=plain, group=None, topic=f"acme.{name}", follow=False) as nothing:
                assert [copy async for copy in nothing] == []
        status = await fleet.until_it_holds(dispatcher, lambda status: copies_in(status) == 3)
        trouble = "may not be written by user dispatcher"
        assert status["replies"] == {
            "acme.answers": {"trouble": None, "sent": 1, "dropped": 0},
            "acme.denied": {"trouble": trouble, "sent": 0, "dropped": 1},
            "acme.hidden": {"trouble": trouble, "sent": 0, "dropped": 1},
        }
        assert (status["role"], status["term"]) == ("leader", term)


def copies_in(status: dict[str, Any]) -> int:
    return sum(each["sent"] + each["dropped"] for each in status["replies"].values())


def due(asked: dict[str, object]) -> Record:
    now = datetime.now(UTC)
    failure = RetryableFailure(
        id=str(asked["id"]),
        kind=FailureKind.OVERLOADED,
        attempt=1,
        not_before=now,
        lane="bulk",
        submitted_at=now,
        request=asked,
    )
    return encode_failure(failure, time=now)
