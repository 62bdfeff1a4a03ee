"""What has failed of late: counted for who looks, and a trouble where all of a kind fail."""

from typing import Any

import pytest

from headrace.broker.observability.panels import BY_KEY
from headrace.broker.service.status.all_failing import all_failing, dead_letters, many_dead_letters
from headrace.broker.service.status.findings import findings
from tests.unit.service.status.specimens import look, said


def lately(*failing: dict[str, Any], seconds: int = 3_600, **letters: int) -> dict[str, Any]:
    return said(failed_lately={"seconds": seconds, "dead_letters": letters, "all_failing": list(failing)})


def kind(of: str, name: str, **reasons: int) -> dict[str, Any]:
    return {"kind": of, "name": name, "minutes": 5, "reasons": reasons}


def test_dead_letters_of_the_last_hour_are_counted_by_reason() -> None:
    assert (
        dead_letters(lately(rejected=1_200, exhausted=1))
        == "dead letters in the last hour  1,200 rejected, 1 exhausted"
    )
    assert dead_letters(lately(seconds=720)) == "dead letters since it started (12 min ago)  none"
    assert dead_letters(said()) is None


def test_as_many_dead_letters_as_the_alert_asks_for_are_worth_a_line() -> None:
    warn = BY_KEY["dead_letters"].warn
    assert warn is not None
    assert many_dead_letters(lately(undecodable=int(warn) - 1)) is None
    [finding] = findings(look(lately(undecodable=int(warn), rejected=1, seconds=720)))
    assert not finding.grave
    assert finding.sentence == (
        f"Many dead letters since it started (12 min ago): {warn:.0f} undecodable. They are not tried again; "
        "`headrace dead-letters list --since 1h` says why."
    )


@pytest.mark.parametrize("odd", [None, 7, {"dead_letters": 7}, {"dead_letters": {"rejected": "many", "x": None}}])
def test_dead_letters_of_another_shape_are_not_counted(odd: object) -> None:
    assert many_dead_letters(said(failed_lately=odd)) is None


def test_a_model_of_which_all_fail_is_trouble() -> None:
    [finding] = findings(look(lately(kind("model", "gpt-9", rejected=13, exhausted=1))))
    assert finding.grave
    assert finding.sentence == (
        "Every request of model gpt-9 has failed in the last 5 minutes, 14 requests: 13 rejected, 1 exhausted. "
        "`headrace dead-letters list --model gpt-9 --since 5m` says why."
    )


def test_a_lane_is_named_only_where_its_models_do_not_explain_it() -> None:
    one = lately(kind("lane", "bulk", rejected=3), kind("model", "gpt-9", rejected=3))
    assert [each.split(" has ")[0] for each in all_failing(one)] == ["Every request of model gpt-9"]
    other = lately(kind("lane", "bulk", deadline_exceeded=9), kind("model", "", invalid_request=3))
    assert [each.split(" has ")[0] for each in all_failing(other)] == [
        "Every request without a model",
        "Every request of lane bulk",
    ]


def test_a_name_that_a_shell_would_read_is_in_no_command() -> None:
    [sentence] = all_failing(lately(kind("model", "$(rm x) \x1b[2J", rejected=3)))
    assert "`headrace dead-letters list --since 5m`" in sentence


@pytest.mark.parametrize("odd", [None, "many", [1], {}, True, float("nan"), float("inf"), -1, 10**400])
def test_counts_and_spans_of_another_release_that_are_no_numbers_stand_as_nothing(odd: Any) -> None:
    told = said(
        failed_lately={
            "seconds": odd,
            "dead_letters": {"rejected": odd, "exhausted": 2},
            "all_failing": [
                {"kind": "model", "name": "m", "minutes": odd, "reasons": {"rejected": odd, "exhausted": 2}}
            ],
        }
    )
    assert dead_letters(told) == "dead letters in the last hour  0 rejected, 2 exhausted"
    [sentence] = all_failing(told)
    assert "in the last 0 minutes, 2 requests: 0 rejected, 2 exhausted." in sentence


def test_what_another_release_tells_is_passed_over() -> None:
    every: tuple[Any, ...] = (
        None,
        [],
        {"all_failing": [None, {"kind": "model"}]},
        {"all_failing": None, "dead_letters": 3},
        {"all_failing": 7},
        {"all_failing": "model"},
    )
    for odd in every:
        assert list(all_failing(said(failed_lately=odd))) == []
        assert dead_letters(said(failed_lately=odd)) is None
