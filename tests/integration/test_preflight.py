"""Before a dispatcher starts: what takes time is waited for, what a person must mend is one sentence."""

import asyncio
import os
import signal

import pytest

from headrace.broker.adapters.kafka.connection import KafkaConnection
from headrace.broker.adapters.kafka.topics import cluster_id
from headrace.broker.errors import MissingTopic
from headrace.broker.local.services import LocalServices
from headrace.broker.service.preflight.acl_check import dispatcher_needs
from headrace.broker.service.preflight.preflight import find as find_needed
from headrace.broker.settings.whole import Settings
from tests.integration.dispatching import create_topics


def settings(bootstrap_servers: str, prefix: str) -> Settings:
    return Settings(kafka={"bootstrap_servers": bootstrap_servers, "topic_prefix": prefix})


async def find(settings: Settings) -> str:
    return await find_needed(settings, dispatcher_needs(settings))


async def test_a_missing_topic_is_named_with_the_verb_that_makes_it(services: LocalServices) -> None:
    with pytest.raises(MissingTopic, match=r"nowhere\.requests\.urgent.*run `headrace topics create`"):
        await find(settings(services.endpoints.bootstrap_servers, "nowhere"))


async def test_the_cluster_is_found_by_its_id(services: LocalServices) -> None:
    connection = KafkaConnection(services.endpoints.bootstrap_servers)
    await create_topics(connection, "found")
    found = await find(settings(services.endpoints.bootstrap_servers, "found"))
    assert found == await cluster_id(connection) != ""


async def test_a_kafka_that_is_away_is_waited_for() -> None:
    async with LocalServices() as services:
        servers = services.endpoints.bootstrap_servers
        await create_topics(KafkaConnection(servers), "late")
        os.kill(services.kafka_pid, signal.SIGKILL)
        finding = asyncio.create_task(find(settings(servers, "late")))
        await asyncio.sleep(2)
        assert not finding.done()
        await services.restart_kafka()
        assert await asyncio.wait_for(finding, 40)
