import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.broker.simulator.admission import RefusedCost
from headrace.broker.simulator.behaviours import billing, enforcement, latencies, profiles, troubles
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import NAMED, behaviour, parsed, spelled
from headrace.broker.simulator.behaviours.enforcement import ChargedRefusals, ChargeLaw, Foreign, PerDay, SharedLimit
from headrace.broker.simulator.behaviours.profiles import Azure
from headrace.broker.simulator.behaviours.troubles import ErrorStorm
from headrace.broker.simulator.pricing import ChatLaw

PAGE = Path(__file__).parents[4] / "docs" / "upstream.md"


def test_every_kind_of_behaviour_has_a_name() -> None:
    modules = (billing, enforcement, latencies, profiles, troubles)
    kinds = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
    behaviours = {kind for kind in kinds if issubclass(kind, Behaviour)} - {Behaviour, profiles.AnswerProfile}
    assert {type(value) for value in NAMED.values()} == behaviours


@pytest.mark.parametrize("value", NAMED.values(), ids=NAMED)
def test_every_behaviour_is_frozen_and_says_on_what_evidence(value: Behaviour) -> None:
    assert hash(value) == hash(replace(value))  # only frozen ones have one
    told = f"{type(value).__doc__} {sys.modules[type(value).__module__].__doc__}"
    assert re.search(r"Evidence|[Ii]nferred|experience|documented|§", told)


@pytest.mark.parametrize("name", NAMED)
def test_every_name_stands_in_the_table_of_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_a_name_is_read_and_spelled(name: str) -> None:
    assert parsed(name) == NAMED[name]
    assert spelled(NAMED[name]) == name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("foreign:share=0.2,burst=1", Foreign(share=0.2, burst=1.0)),
        ("foreign:tokens_per_minute=6000,regular=true", Foreign(tokens_per_minute=6_000, regular=True)),
        ("foreign:to_s=inf", Foreign(to_s=math.inf)),
        ("shared-limit:limit_name=family,models=gpt-4.1*+gpt-4o", SharedLimit("family", ("gpt-4.1*", "gpt-4o"))),
        ("shared-limit:models=gpt-4o", SharedLimit(models=("gpt-4o",))),
        ("refusals-cost-all:cost=request", ChargedRefusals(RefusedCost.REQUEST)),
        ("law-change:law=usage,from_s=5", ChargeLaw(ChatLaw.USAGE, 5.0)),
        ("error-storm:statuses=503", ErrorStorm(statuses=(503,))),
        ("tokens-per-day:requests=5,tokens=null", PerDay(requests=5)),
        ("azure:in_seconds=true", Azure(in_seconds=True)),
    ],
)
def test_numbers_may_be_changed_behind_a_colon(text: str, value: Behaviour) -> None:
    assert parsed(text) == value
    assert parsed(spelled(value)) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("quantized-1s", "there is no behaviour 'quantized-1s'; did you mean 'quantised-1s'?"),
        ("xyz", "there is no behaviour 'xyz'; there are bucket, bucket-6s, .*"),
        ("foreign:shar=1", "foreign has no 'shar'; did you mean 'share'?"),
        ("foreign:share", "'foreign:share' is not NAME:field=value"),
        ("foreign:share=much", "foreign: share is a number, not 'much'"),
        ("foreign:share=-1", "foreign: share is between 0 and 10, not -1"),
        ("foreign:requests=1.5", "foreign: requests is a whole number, not 1.5"),
        ("foreign:regular=1", "foreign: regular is true or false, not 1"),
        ("foreign:share=true", "foreign: share is a number, not True"),
        ("foreign:tokens_per_minute=0", "foreign: tokens_per_minute is at least 1, not 0"),
        ("request-bound:requests_per_minute=0", "request-bound: requests_per_minute is at least 1, not 0"),
        ("tokens-per-day:tokens=null", "tokens-per-day: a daily limit counts requests, tokens or both"),
        ("shared-limit:limit_name=", "shared-limit: a shared limit has a name and at least one model"),
        ("refusals-cost-all:cost=half", "refusals-cost-all: 'half' is not a valid RefusedCost"),
        ("error-storm:statuses=404", "error-storm: the statuses of a storm are between 500 and 599"),
        ("broken-streams:cut_rate=0.7,error_rate=0.7", "broken-streams: cut_rate and error_rate together .*"),
        ("latency-uniform:shortest_s=9", "latency-uniform: longest_s is between 9 and 3600, not 4"),
        ("limit-halved:factor=nan", "limit-halved: factor is between .*"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence).replace(r"\.\*", ".*")):
        parsed(text)


def test_python_gives_numbers_as_they_are() -> None:
    some: dict[str, Any] = {"models": ["a", "b"], "limit_name": "n"}
    assert behaviour("shared-limit", **some) == SharedLimit("n", ("a", "b"))
    with pytest.raises(ValueError, match="whole number"):
        behaviour("headers-rounded", parts="5")
