"""Whoever knocks all the time is charged nearly all that a limiter offers, whatever it plays: in virtual time."""

from typing import Any

import pytest

from headrace.broker.simulator.admission import SECOND_US, Metric
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import behaviour
from headrace.broker.simulator.pricing import Size
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.virtual import Ask, VirtualUpstream


def upstream(*behaviours: Behaviour, **settings: Any) -> VirtualUpstream:
    plenty = {"tokens_per_minute": 60_000, "requests_per_minute": 6_000} | settings
    return VirtualUpstream(UpstreamSettings(behaviours=behaviours, **plenty))


@pytest.mark.parametrize(
    "name",
    [
        "bucket",
        "bucket-6s",
        "bucket-1s",
        "hidden-bucket-1s",
        "quantised-6s",
        "fixed-window",
        "sliding-window",
        "sliding-approximate",
        "project-limits",
        "limit-halved",
        "limit-doubled",
        "refusals-cost-request",
        "foreign",
        "headers-none",
    ],
)
def test_a_client_that_knocks_all_the_time_is_charged_nearly_all_that_was_offered(name: str) -> None:
    server = upstream(behaviour(name), requests_per_minute=10**7)
    knock = Size.chat(40)
    for number in range(2 * 60 * 20):  # 20 times a second for two minutes, until it is refused
        while True:
            visit = server.arrive(Ask(f"{number}", "m", knock), number * SECOND_US // 20)
            server.end(visit)
            if visit.status == 429:
                break
    tally = server.books().accounts["m"][Metric.TOKENS]
    assert tally.share is not None
    assert 0.97 < tally.share <= 1
