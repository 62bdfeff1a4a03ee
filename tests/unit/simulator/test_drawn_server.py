"""Servers drawn by seed: the rules of the module, and that a name plays what the seed draws."""

import itertools
from collections import Counter

import pytest

from headrace.broker.simulator.admission import Metric
from headrace.broker.simulator.behaviours import profiles
from headrace.broker.simulator.behaviours.catalogue import behaviour, parsed, played_by, server_among, spelled
from headrace.broker.simulator.behaviours.enforcement import (
    ChargedRefusals,
    ChargeFactor,
    ChargeLaw,
    EnforcedWindow,
    Foreign,
    Kind,
)
from headrace.broker.simulator.behaviours.file import behaviours_in
from headrace.broker.simulator.behaviours.profiles import ShownWindow, StatedNumbers, StatedRefusals
from headrace.broker.simulator.drawn_server import (
    CALL_TOKENS,
    LARGEST_PARTS,
    LARGEST_TOKENS,
    DrawnServer,
    drawn_server,
)
from headrace.broker.simulator.pricing import ChatLaw
from headrace.broker.simulator.settings import UpstreamSettings
from headrace.broker.simulator.virtual import VirtualUpstream

SERVERS = [drawn_server(seed) for seed in range(2_000)]
FRONT_S = {0.25, 1.0}


def windows_of(server: DrawnServer) -> list[EnforcedWindow]:
    return [each for each in server.behaviours if isinstance(each, EnforcedWindow)]


def limit_of(server: DrawnServer, window: EnforcedWindow) -> float:
    requests = window.counts is Metric.REQUESTS
    per_minute = server.requests_per_minute if requests else server.tokens_per_minute
    return per_minute * window.seconds / 60 * window.factor


def test_a_seed_always_draws_the_same_server_and_others_differ() -> None:
    assert drawn_server(17) == drawn_server(17)
    assert len({server.behaviours for server in SERVERS}) > 1_500


def test_every_window_of_a_minute_holds_two_of_the_largest_calls() -> None:
    for server in SERVERS:
        factor = next((each.factor for each in server.behaviours if isinstance(each, ChargeFactor)), 1.0)
        short = [each for each in windows_of(server) if each.counts is not Metric.REQUESTS and each.seconds <= 60]
        assert short, server.seed
        for window in short:
            assert limit_of(server, window) >= LARGEST_PARTS * LARGEST_TOKENS * factor, server.seed


def test_of_two_windows_of_one_metric_each_may_refuse() -> None:
    for server in SERVERS:
        of_tokens = [each for each in windows_of(server) if each.counts is not Metric.REQUESTS]
        for one, other in itertools.pairwise(of_tokens):
            shorter, longer = sorted((one, other), key=lambda each: each.seconds)
            assert longer.seconds >= 2 * shorter.seconds, server.seed
            holds_of_shorter = limit_of(server, shorter) * longer.seconds / shorter.seconds
            assert limit_of(server, longer) <= holds_of_shorter * 1.000_1, server.seed


def test_what_only_several_windows_can_state_is_drawn_for_these_alone() -> None:
    for server in SERVERS:
        shown = Counter(each.counts for each in windows_of(server) if each.shown)
        twins = max(shown.values(), default=0) > 1
        for each in server.behaviours:
            if isinstance(each, profiles.ShownLevels) and each.window is not ShownWindow.LONGEST:
                assert twins, server.seed
            if isinstance(each, StatedRefusals) and each.numbers is StatedNumbers.SHOWN:
                assert twins, server.seed


def test_usage_is_settled_into_buckets_alone_and_refusals_cost_nothing_beside_others() -> None:
    for server in SERVERS:
        if any(isinstance(each, ChargeLaw) and each.law is ChatLaw.USAGE for each in server.behaviours):
            assert all(each.kind is Kind.BUCKET or not each.shown for each in windows_of(server)), server.seed
        plays = {type(each) for each in server.behaviours}
        assert not {Foreign, ChargedRefusals} <= plays, server.seed


def test_a_front_lets_three_times_the_calls_of_the_rate_pass_in_each_of_its_windows() -> None:
    """Before: its window was a share of a limit of requests that another draw had made."""
    fronts = 0
    for server in SERVERS:
        for window in windows_of(server):
            if window.counts is Metric.REQUESTS and not window.shown:
                fronts += 1
                assert window.seconds in FRONT_S, server.seed
                calls = server.tokens_per_minute / CALL_TOKENS * window.seconds / 60
                passes = limit_of(server, window)
                assert max(3, 3 * calls) * 0.99 <= passes <= max(3, 3 * calls, window.seconds) * 1.01, server.seed
    assert 100 < fronts < 300


def test_a_burst_of_another_client_takes_at_most_half_of_what_the_shortest_window_holds() -> None:
    bursts = 0
    for server in SERVERS:
        for each in server.behaviours:
            if isinstance(each, Foreign):
                bursts += 1
                held = min(
                    limit_of(server, window) for window in windows_of(server) if window.counts is not Metric.REQUESTS
                )
                assert 0 < each.burst * server.tokens_per_minute <= held / LARGEST_PARTS * 1.01, server.seed
    assert bursts > 300


def test_a_server_that_tells_all_hides_rounds_and_delays_nothing() -> None:
    telling = [server for server in SERVERS if server.tells_all]
    assert 100 < len(telling) < 600
    vague = (profiles.NoHeaders, profiles.StaleHeaders, profiles.RoundedHeaders, profiles.AzureUnlimited, Foreign)
    for server in telling:
        assert not any(isinstance(each, vague) for each in server.behaviours)
        windows = windows_of(server)
        assert all(each.shown for each in windows)
        assert len({each.counts for each in windows}) == len(windows)
        assert StatedRefusals() in server.behaviours


def test_every_part_is_drawn() -> None:
    windows = [window for server in SERVERS for window in windows_of(server)]
    assert {window.kind for window in windows} == set(Kind)
    assert {window.counts for window in windows} == set(Metric)
    assert {1.0, 6.0, 10.0, 60.0, 3_600.0, 86_400.0} <= {window.seconds for window in windows}
    assert {len(windows_of(server)) for server in SERVERS} >= {1, 2, 3}


def test_a_name_plays_what_the_seed_draws_and_every_part_can_be_spelled() -> None:
    assert played_by(["azure", "random:17"]) == (parsed("azure"), *drawn_server(17).behaviours)
    for server in SERVERS[:300]:
        assert tuple(parsed(spelled(each)) for each in server.behaviours) == server.behaviours


@pytest.mark.parametrize(
    "text",
    ["random", "random:", "random:x", "random:-1", "random:seed=1", "random:1.5", "random:²", "random:٣", "random:1:2"],
)
def test_a_seed_is_a_whole_number(text: str) -> None:
    for read in (played_by, server_among):
        with pytest.raises(ValueError, match="is not random:SEED, with a whole number"):
            read([text])


def test_a_seed_of_thousands_of_digits_is_refused_as_briefly() -> None:
    """Before: Python's own sentence on its limit of 4,300 digits."""
    with pytest.raises(ValueError, match="at most 18 digits") as refused:
        played_by(["random:" + "9" * 5_000])
    assert len(str(refused.value)) < 200
    assert server_among(["random:" + "9" * 18]) == drawn_server(10**18 - 1)


def test_a_server_is_found_among_behaviours_and_there_is_at_most_one() -> None:
    assert server_among(["azure", " random : 17 "]) == drawn_server(17)
    assert server_among(["azure"]) is None
    for read in (played_by, server_among):
        with pytest.raises(ValueError, match="are two whole servers: name one"):
            read(["random:17", "azure", "random:18"])


@pytest.mark.parametrize("name", ["random", "random:17"])
def test_a_file_of_behaviours_names_no_server(name: str) -> None:
    """Before: there is no behaviour 'random:17', with a list of all others."""
    for read in (behaviour, parsed, lambda text: behaviours_in(f'[[behaviour]]\nname = "{text}"')):
        with pytest.raises(ValueError, match="whole server and no behaviour: --behaviour random:17"):
            read(name)


@pytest.mark.parametrize("name", ["RANDOM:3", "randm:3", "Random:3"])
def test_a_name_like_it_is_met_with_the_guess(name: str) -> None:
    """Before: `'RANDOM:3' is not NAME:field=value`."""
    with pytest.raises(ValueError, match=r"there is no behaviour .*; did you mean 'random'\?"):
        played_by([name])


@pytest.mark.parametrize(
    "name",
    [
        "bucket-6s",
        "fixed-window",
        "sliding-window",
        "sliding-approximate",
        "hidden-bucket-1s",
        "quantised-6s",
        "request-bound",
        "project-limits",
    ],
)
def test_what_would_have_no_effect_beside_a_drawn_server_is_refused(name: str) -> None:
    """Before: it was accepted, although enforced windows stand alone."""
    for texts in (["random:17", name], [name, "random:17"], ["window", name]):
        with pytest.raises(ValueError, match=f"{name} would have no effect"):
            UpstreamSettings(behaviours=played_by(texts))
    with pytest.raises(ValueError, match="hidden bucket"):
        UpstreamSettings(behaviours=played_by(["random:17"]), burst_s=1.0)
    UpstreamSettings(behaviours=played_by([name]), burst_s=1.0)


@pytest.mark.parametrize("name", ["azure", "limit-halved", "tokens-per-day", "foreign", "latency-wide", "error-storm"])
def test_what_has_an_effect_is_played_beside_it(name: str) -> None:
    settings = UpstreamSettings(behaviours=played_by(["random:17", name]))
    assert settings.behaviours[-1] == parsed(name)


@pytest.mark.parametrize("seed", [10**38, -(10**38) - 1, 10**300])
def test_the_seed_of_an_upstream_has_bounds(seed: int) -> None:
    """Before: an OverflowError when the server was started."""
    with pytest.raises(ValueError, match="a seed is a whole number of at most 38 digits"):
        UpstreamSettings(seed=seed)
    VirtualUpstream(UpstreamSettings(seed=10**38 - 1))
    VirtualUpstream(UpstreamSettings(seed=-(10**38)))
