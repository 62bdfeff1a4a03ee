import pytest

from headrace.broker.simulator.accounting import Books, StreamEnd
from headrace.broker.simulator.admission import Metric
from headrace.broker.simulator.rules import Limits
from headrace.broker.simulator.tally import Tally


def books(ids_max: int = 1_000) -> Books:
    return Books(Limits(60_000, 600), opened_us=5_000_000, ids_max=ids_max)


def test_the_share_is_what_was_charged_of_a_full_bucket_and_its_refill() -> None:
    counted = books()
    count = counted.identify("a")
    counted.admit(count, "m", 30_000, 6_000_000)
    assert counted.snapshot(with_ids=False).share == pytest.approx(0.5)
    counted.admit(count, "m", 60_000, 36_000_000)  # half a minute later: 60,000 + 30,000 could be had
    stats = counted.snapshot(with_ids=False)
    assert stats.share == pytest.approx(1.0)
    assert (stats.first_admitted_ms, stats.last_admitted_ms) == (1_000.0, 31_000.0)


def test_two_models_could_have_had_two_buckets() -> None:
    counted = books()
    count = counted.identify("a")
    counted.admit(count, "m", 60_000, 6_000_000)
    counted.admit(count, "n", 30_000, 6_000_000)
    stats = counted.snapshot(with_ids=False)
    assert stats.share == pytest.approx(0.75)
    assert stats.charged_by_model == {"m": 60_000, "n": 30_000}
    assert stats.limits["m"]["tokens_per_second"] == 1_000


def test_without_an_admission_there_is_no_share() -> None:
    assert books().snapshot(with_ids=False).share is None


@pytest.mark.parametrize(
    ("status", "name"),
    [(200, "completed"), (429, "throttled"), (400, "client_errors"), (404, "client_errors"), (503, "server_errors")],
)
def test_an_answer_is_counted_once_and_by_its_kind(status: int, name: str) -> None:
    counted = books()
    count = counted.identify("a")
    counted.answer(status, count)
    stats = counted.snapshot(with_ids=False).as_json()
    kinds = ("completed", "throttled", "client_errors", "server_errors")
    assert {kind: stats[kind] for kind in kinds} == {kind: int(kind == name) for kind in kinds}
    assert count.answered == int(status == 200)


def test_ids_are_told_only_when_asked_for_and_a_snapshot_does_not_change() -> None:
    counted = books()
    count = counted.identify("a")
    stats = counted.snapshot(with_ids=True)
    count.answered += 1
    assert stats.as_json()["ids"] == {"a": {"calls": 1, "admitted": 0, "answered": 0}}
    assert "ids" not in counted.snapshot(with_ids=False).as_json()


def test_the_oldest_id_is_forgotten_when_memory_is_full_and_the_books_say_so() -> None:
    counted = books(ids_max=2)
    for request_id in ("a", "b", "a", "c"):
        counted.identify(request_id)
    stats = counted.snapshot(with_ids=True)
    assert stats.ids is not None
    assert list(stats.ids) == ["b", "c"]
    assert (stats.ids_seen, stats.ids_forgotten) == (3, 1)


def test_the_most_calls_in_flight_are_remembered() -> None:
    counted = books()
    assert [counted.arrive(), counted.arrive()] == [1, 2]
    counted.inflight -= 1
    counted.arrive()
    assert (counted.inflight, counted.inflight_max) == (2, 2)


@pytest.mark.parametrize("end", list(StreamEnd))
def test_a_stream_is_counted_at_its_start_and_at_its_end_for_all_and_for_its_id(end: StreamEnd) -> None:
    counted = books()
    count = counted.identify("a")
    counted.identify("b")
    counted.begin_stream(count)
    begun = counted.snapshot(with_ids=True)
    counted.end_stream(count, end)
    told = counted.snapshot(with_ids=True).as_json()
    expected = {name: int(name in ("started", end)) for name in ("started", "completed", "cut", "errored", "abandoned")}
    assert told["streams"] == expected
    assert told["ids"]["a"]["streams"] == expected
    assert "streams" not in told["ids"]["b"]
    assert (
        begun.as_json()["streams"]
        == begun.as_json()["ids"]["a"]["streams"]
        == dict.fromkeys(expected, 0) | {"started": 1}
    )


def test_a_long_refusal_is_counted_for_all_and_for_its_id() -> None:
    counted = books()
    counted.identify("b")
    counted.refuse_for_long(counted.identify("a"))
    told = counted.snapshot(with_ids=True).as_json()
    assert told["throttled_long"] == 1
    assert told["ids"] == {
        "b": {"calls": 1, "admitted": 0, "answered": 0},
        "a": {"calls": 1, "admitted": 0, "answered": 0, "throttled_long": 1},
    }


def test_with_behaviours_the_share_is_what_was_charged_of_what_all_limits_offered() -> None:
    accounts = {
        "m": {Metric.TOKENS: Tally(1_000, 600), Metric.REQUESTS: Tally(10, 10)},
        "n": {Metric.TOKENS: Tally(1_000, 200, foreign=5, refused=2, wasted=1), Metric.REQUESTS: Tally(10, 1)},
    }
    stats = books().snapshot(with_ids=False, accounts=accounts, behaving=True)
    assert stats.share == pytest.approx(0.4)
    assert stats.as_json()["accounts"]["n"]["tokens"] == {
        "offered": 1_000,
        "charged": 200,
        "foreign": 5,
        "refused": 2,
        "wasted": 1,
        "share": 0.2,
    }
    assert books().snapshot(with_ids=False, behaving=True).share is None


def test_where_only_input_is_counted_the_share_is_that_of_the_input() -> None:
    """Before: what no limit counts was said to be offered as it was charged, a share of 100 %."""
    nothing = Tally(None, 900)
    accounts = {"m": {Metric.TOKENS: nothing, Metric.REQUESTS: Tally(10, 10), Metric.INPUT_TOKENS: Tally(1_000, 300)}}
    stats = books().snapshot(with_ids=False, accounts=accounts, behaving=True)
    assert stats.share == pytest.approx(0.3)
    assert stats.as_json()["accounts"]["m"]["tokens"] == nothing.as_json()
    assert (nothing.share, nothing.since(Tally(None, 400)).charged, nothing.since(Tally(None, 0)).offered) == (
        None,
        500,
        None,
    )


def test_what_is_settled_is_charged() -> None:
    counted = books()
    counted.admit(counted.identify("a"), "m", 100, 6_000_000)
    counted.settle("m", 50)
    assert counted.snapshot(with_ids=False).charged_tokens == 150


def test_each_endpoint_of_a_limit_has_its_page_as_long_as_there_are_not_very_many() -> None:
    counted = Books(Limits(60_000, 600), opened_us=0, pages_max=2)
    for limit, endpoint in (("m", "responses"), ("m", "embeddings"), ("m", "responses"), ("n", "responses")):
        counted.page(limit, endpoint).calls += 1
    counted.page("m", "responses").record_body({"usage": {"input_tokens": 3, "output_tokens": 4}})
    counted.page("m", "embeddings").record_body({"usage": {"prompt_tokens": 5}})
    nothing = {"charged_tokens": 0, "output_tokens": 0}
    assert counted.snapshot(with_ids=False).as_json()["pages"] == {
        "m": {
            "responses": nothing | {"calls": 2, "answered": 1, "input_tokens": 3, "output_tokens": 4},
            "embeddings": nothing | {"calls": 1, "answered": 1, "input_tokens": 5},
        }
    }
