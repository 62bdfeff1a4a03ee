"""Where a process says that it is asked."""

import socket

import pytest

from headrace.broker.service.status.address import url_of


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8080"), ("pod-7", "http://pod-7:8080"), ("::1", "http://[::1]:8080")],
)
async def test_where_it_listens_at_one_address_that_is_it(host: str, url: str) -> None:
    assert await url_of(host, 8080, "nowhere.invalid:9092") == url


@pytest.mark.parametrize("kafka", ["127.0.0.1:9092,nowhere.invalid:9092", "127.0.0.1", " 127.0.0.1:1 "])
async def test_where_it_listens_everywhere_it_is_the_address_that_kafka_sees(kafka: str) -> None:
    assert await url_of("0.0.0.0", 8080, kafka) == "http://127.0.0.1:8080"  # noqa: S104  # nothing is bound


async def test_without_a_way_to_kafka_it_is_the_host_s_name() -> None:
    url = await url_of("", 8080, "127.0.0.1:no-port")
    assert url == f"http://{socket.gethostname()}:8080"
