"""Every metric of the contract, by name; names of producers cannot flood it."""

import inspect
from typing import Any

import pytest

from headrace.broker.adapters.prometheus.meter import LABELS_MAX, TIER_LABELS_MAX, Meter
from headrace.schemas.tiers import MALFORMED

_CONTRACT = {
    'headrace_requests_taken_total{lane="urgent"} 1.0',
    'headrace_outcomes_total{lane="urgent",model="gpt-4o",reason="",status="completed"} 1.0',
    'headrace_finishes_total{finish="refusal",model="gpt-4o"} 1.0',
    'headrace_attempts_total{model="gpt-4o",result="ok",tier="flex"} 1.0',
    'headrace_throttles_total{limit="gpt-4o",model="gpt-4o"} 1.0',
    'headrace_charge_tokens_total{lane="urgent",model="gpt-4o"} 120.0',
    'headrace_usage_tokens_total{kind="input",model="gpt-4o",tier="default"} 100.0',
    'headrace_limit_capacity{limit="tokens/60s",model="gpt-4o"} 30000.0',
    'headrace_limit_level{limit="tokens/60s",model="gpt-4o"} 20000.0',
    'headrace_utilisation_ratio{limit="tokens/60s",model="gpt-4o"} 0.5',
    'headrace_measured_tokens_per_minute{model="gpt-4o"} 20000.0',
    'headrace_backlog_requests{lane="urgent"} 3.0',
    'headrace_backlog_seconds{lane="urgent"} 12.5',
    'headrace_backlog_oldest_seconds{lane="urgent"} 4.0',
    'headrace_lag_requests{lane="urgent"} 250.0',
    'headrace_lag_age_seconds{lane="urgent"} 1.5',
    'headrace_inflight{model="gpt-4o"} 2.0',
    'headrace_queue_wait_seconds_sum{lane="urgent"} 0.5',
    'headrace_upstream_seconds_sum{model="gpt-4o"} 1.5',
    'headrace_outcome_seconds_sum{lane="urgent"} 2.5',
    "headrace_leader 1.0",
    "headrace_term 7.0",
    'headrace_transactions_total{result="committed"} 1.0',
    "headrace_transaction_seconds_sum 0.02",
    'headrace_charge_law{law="chat-2025",model="gpt-4o"} 1.0',
    'headrace_charge_law{law="documented",model="gpt-4o"} 0.0',
    'headrace_charge_error_tokens_bucket{le="-2.0",model="gpt-4o"} 1.0',
    'headrace_foreign_tokens_total{model="gpt-4o"} 40.0',
    'headrace_info{prefix="leads",process="dispatcher",version="0.1.0"} 1.0',
    'headrace_lane_objective_seconds{lane="urgent"} 60.0',
    'headrace_outcomes_timed_total{lane="urgent"} 2.0',
    'headrace_outcomes_late_total{lane="urgent"} 1.0',
    'headrace_breaker_open{model="gpt-4o"} 1.0',
    'headrace_breaker_cause{cause="quota",model="(account)"} 1.0',
    'headrace_next_call_seconds{model="gpt-4o"} 3600.0',
    "headrace_parked_requests 4.0",
    "headrace_dedupe_window_configured_seconds 86400.0",
    'headrace_retries_total{kind="overloaded"} 1.0',
    'headrace_retries_waiting{kind="quota"} 5.0',
    'headrace_retries_held_back{lane="bulk"} 3.0',
    'headrace_dead_letters_total{reason="rejected"} 1.0',
    'headrace_duplicates_total{lane="urgent"} 1.0',
    "headrace_dedupe_window_seconds 3600.0",
    "headrace_repeated_calls_total 1.0",
    "headrace_cancels_taken_total 1.0",
    "headrace_cancels_waiting 3.0",
    "headrace_cancels_evicted_total 2.0",
    "headrace_chunks_dropped_total 3.0",
    "headrace_kafka_ready 1.0",
    "headrace_redis_ready 0.0",
}


def _lines(meter: Meter) -> set[str]:
    return set(meter.render().decode().splitlines())


@pytest.fixture
def meter() -> Meter:
    meter = Meter()
    meter.requests_taken("urgent")
    meter.outcome("urgent", "gpt-4o", "completed", "")
    meter.finish("gpt-4o", "refusal")
    meter.attempt("gpt-4o", "flex", "ok")
    meter.throttled("gpt-4o", "gpt-4o")
    meter.charged("gpt-4o", "urgent", 120)
    meter.usage("gpt-4o", "default", "input", 100)
    meter.foreign("gpt-4o", 40)
    meter.limit("gpt-4o", "tokens/60s", 30_000, 20_000, 0.5)
    meter.measured_rate("gpt-4o", 20_000)
    meter.charge_law("gpt-4o", "documented")
    meter.charge_law("gpt-4o", "chat-2025")
    meter.charge_error("gpt-4o", -2)
    meter.backlog("urgent", 3, 12.5, 4.0)
    meter.lag("urgent", 250, 1.5)
    meter.inflight("gpt-4o", 2)
    meter.queue_wait("urgent", 0.5)
    meter.upstream_time("gpt-4o", 1.5)
    meter.outcome_time("urgent", 2.5)
    meter.leader(True)
    meter.term(7)
    meter.transaction("committed", 0.02)
    meter.duplicate("urgent")
    meter.dead_letter("rejected")
    meter.repeated_call()
    meter.cancel_taken()
    meter.cancels_waiting(3)
    meter.cancels_evicted(2)
    meter.chunks_dropped(3)
    meter.dedupe_window(3_600)
    meter.ready(kafka=True, redis=False)
    meter.breaker("gpt-4o", is_open=True)
    meter.breaker_opened_by("(account)", "quota")
    meter.next_call("gpt-4o", 3_600)
    meter.parked(4)
    meter.dedupe_window_set(86_400)
    meter.info("leads", "0.1.0", "dispatcher")
    meter.begin_lane("urgent", 60)
    meter.outcome_timed("urgent", is_late=False)
    meter.outcome_timed("urgent", is_late=True)
    meter.retry("overloaded")
    meter.retries_waiting("quota", 5)
    meter.retries_held_back("bulk", 3)
    return meter


def test_every_metric_of_the_contract_is_there_under_its_name(meter: Meter) -> None:
    assert _lines(meter) >= _CONTRACT


def test_all_metrics_of_ours_begin_with_headrace_and_none_is_doubled(meter: Meter) -> None:
    names = [line.split()[2] for line in _lines(meter) if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) >= 33
    assert all(name.startswith(("headrace_", "process_")) for name in names)
    assert not any(name.endswith("_created") for name in names)


def test_two_meters_share_nothing() -> None:
    Meter().term(7)
    assert "headrace_term 0.0" in _lines(Meter())


def test_the_content_type_is_that_of_the_text(meter: Meter) -> None:
    assert meter.content_type.startswith("text/plain; version=0.0.4")


def test_models_beyond_the_bound_are_counted_together() -> None:
    meter = Meter()
    for number in range(LABELS_MAX + 50):
        meter.answered(f"model-{number}", f"model-{number}", "")
        meter.attempt(f"model-{number}", "", "ok")
    meter.attempt("model-0", "", "ok")
    lines = [line for line in _lines(meter) if line.startswith("headrace_attempts_total")]
    assert len(lines) == LABELS_MAX + 1
    assert 'headrace_attempts_total{model="other",result="ok",tier=""} 50.0' in lines
    assert 'headrace_attempts_total{model="model-0",result="ok",tier=""} 2.0' in lines


def test_limits_are_bounded_like_models_since_unconfigured_ones_are_named_by_producers() -> None:
    meter = Meter()
    for number in range(LABELS_MAX + 1):
        meter.throttled("gpt-4o", f"limit-{number}")
    assert 'headrace_throttles_total{limit="other",model="gpt-4o"} 1.0' in _lines(meter)


def test_service_tiers_are_bounded_too_since_producers_name_them() -> None:
    meter = Meter()
    for number in range(TIER_LABELS_MAX + 2):
        meter.answered("gpt-4o", "gpt-4o", f"tier-{number}")
        meter.usage("gpt-4o", f"tier-{number}", "input", 5)
    assert 'headrace_usage_tokens_total{kind="input",model="gpt-4o",tier="other"} 10.0' in _lines(meter)


def test_names_that_no_answer_confirmed_leave_labels_to_those_that_one_confirms() -> None:
    """Requests with invented names, each a mere refusal, used up the labels for the life of the process."""
    meter = Meter()
    for number in range(2 * LABELS_MAX):
        meter.attempt(f"model-{number}", f"tier-{number}", "rejected")
    meter.answered("gpt-4o", "gpt-4o-limit", "on_demand")
    for tier in ("", "flex", "priority", MALFORMED, "on_demand"):
        meter.attempt("gpt-4o", tier, "ok")
    meter.foreign("gpt-4o-limit", 5)
    meter.attempt("gpt-4o", "tier-0", "ok")
    lines = _lines(meter)
    for tier in ("", "flex", "priority", MALFORMED, "on_demand", "other"):
        assert f'headrace_attempts_total{{model="gpt-4o",result="ok",tier="{tier}"}} 1.0' in lines
    assert 'headrace_foreign_tokens_total{model="gpt-4o-limit"} 5.0' in lines
    refused = [line for line in lines if 'result="rejected"' in line]
    assert len(refused) == LABELS_MAX // 2 + 1
    assert all('tier="other"' in line for line in refused)


def test_a_model_is_shown_by_its_name_also_while_nothing_answers() -> None:
    meter = Meter()
    meter.breaker("gpt-4o", is_open=True)
    assert 'headrace_breaker_open{model="gpt-4o"} 1.0' in _lines(meter)


def folding() -> Meter:
    """A meter whose labels for models without an answer are used up."""
    meter = Meter()
    for number in range(LABELS_MAX):
        meter.attempt(f"model-{number}", "", "rejected")
    return meter


def test_amounts_that_share_a_label_are_summed() -> None:
    meter = folding()
    for model, amount in (("a", 500), ("b", 0), ("c", 7)):
        meter.tier_waiting(model, "x", amount)
        meter.inflight(model, amount)
        meter.limit(model, "tokens/60s", amount, amount, None)
    kinds = range(LABELS_MAX + 2)
    for number in kinds:
        meter.retries_waiting(f"kind-{number}", 2)
    assert _lines(meter) >= {
        'headrace_tier_waiting{model="other",tier="other"} 507.0',
        'headrace_inflight{model="other"} 507.0',
        'headrace_limit_capacity{limit="tokens/60s",model="other"} 507.0',
        'headrace_limit_level{limit="tokens/60s",model="other"} 507.0',
        'headrace_retries_waiting{kind="other"} 4.0',
    }
    meter.tier_waiting("a", "x", 0)
    meter.inflight("a", 1)
    assert _lines(meter) >= {
        'headrace_tier_waiting{model="other",tier="other"} 7.0',
        'headrace_inflight{model="other"} 8.0',
    }


def test_of_states_and_shares_that_share_a_label_the_largest_is_shown() -> None:
    meter = folding()
    for model, is_open, used in (("a", True, 0.9), ("b", False, 0.1)):
        meter.breaker(model, is_open=is_open)
        meter.limit(model, "tokens/60s", 1, 1, used)
    assert _lines(meter) >= {
        'headrace_breaker_open{model="other"} 1.0',
        'headrace_utilisation_ratio{limit="tokens/60s",model="other"} 0.9',
    }
    meter.breaker("a", is_open=False)
    assert 'headrace_breaker_open{model="other"} 0.0' in _lines(meter)


def test_the_law_of_one_limit_is_not_taken_for_that_of_another_with_the_same_label() -> None:
    meter = folding()
    meter.charge_law("a", "documented")
    meter.charge_law("b", "chat-2025")
    shown = {f'headrace_charge_law{{law="{law}",model="other"}} 1.0' for law in ("documented", "chat-2025")}
    assert _lines(meter) >= shown
    meter.charge_law("a", "chat-2025")
    assert 'headrace_charge_law{law="documented",model="other"} 0.0' in _lines(meter)


def test_a_forgotten_limit_is_left_out_of_the_levels_that_it_shared() -> None:
    meter = folding()
    for model in ("a", "b"):
        meter.limit(model, "tokens/60s", 100, 50, 0.5)
        meter.measured_rate(model, 7_000)
        meter.breaker(model, is_open=model == "a")
        meter.charge_law(model, "documented" if model == "a" else "chat-2025")
    meter.limit_forgotten("a")
    meter.limit_forgotten("model-0")
    assert _lines(meter) >= {
        'headrace_limit_capacity{limit="tokens/60s",model="other"} 100.0',
        'headrace_limit_level{limit="tokens/60s",model="other"} 50.0',
        'headrace_measured_tokens_per_minute{model="other"} 7000.0',
        'headrace_breaker_open{model="other"} 0.0',
        'headrace_charge_law{law="documented",model="other"} 0.0',
        'headrace_charge_law{law="chat-2025",model="other"} 1.0',
    }
    assert "a" not in meter._laws


def test_a_bucket_that_is_gone_is_shown_no_more() -> None:
    """Before: its last level stood in every scrape until the limit was forgotten."""
    meter = Meter()
    meter.limit("gpt-4o", "tokens/60s", 100, 50, 0.5)
    meter.limit("gpt-4o", "requests/60s", 7, 5, None)
    meter.bucket_forgotten("gpt-4o", "tokens/60s")
    meter.bucket_forgotten("gpt-4o", "never/60s")
    shown = {line for line in _lines(meter) if 'model="gpt-4o"' in line}
    assert not any("tokens/60s" in line for line in shown)
    assert 'headrace_limit_level{limit="requests/60s",model="gpt-4o"} 5.0' in shown
    meter = folding()
    for model in ("a", "b"):
        meter.limit(model, "tokens/60s", 100 if model == "a" else 70, 50, 0.5)
    meter.bucket_forgotten("a", "tokens/60s")
    assert 'headrace_limit_capacity{limit="tokens/60s",model="other"} 70.0' in _lines(meter)


def test_a_level_leaves_the_common_label_once_its_model_is_answered() -> None:
    meter = folding()
    meter.inflight("a", 3)
    meter.inflight("b", 2)
    meter.answered("a", "a", "")
    meter.inflight("a", 4)
    assert _lines(meter) >= {'headrace_inflight{model="other"} 2.0', 'headrace_inflight{model="a"} 4.0'}


@pytest.mark.parametrize("model", ["\ud800", 'a"b\nc', "x" * 10_000, ""])
def test_no_name_of_a_producer_breaks_the_page(model: str) -> None:
    meter = Meter()
    meter.attempt(model, model, "ok")
    meter.attempt(model, model, "ok")
    lines = [line for line in _lines(meter) if line.startswith("headrace_attempts_total")]
    assert len(lines) == 1
    assert lines[0].endswith(" 2.0")
    assert len(lines[0]) < 300


ABSURD: tuple[Any, ...] = (
    10**400,
    -(10**400),
    float("nan"),
    float("inf"),
    -1,
    None,
    "\ud800",
    "x" * 100_000,
    object(),
    [],
)


def counters_and_gauges() -> list[str]:
    return [name for name in vars(Meter) if not name.startswith("_") and name not in {"render", "content_type"}]


@pytest.mark.parametrize("name", counters_and_gauges())
def test_no_value_whatever_makes_a_method_raise_or_spoils_a_scrape(name: str) -> None:
    meter = Meter()
    method = getattr(meter, name)
    for absurd in ABSURD:
        given = dict.fromkeys(inspect.signature(method).parameters, absurd)
        method(**given)
        for one in given:
            method(**{parameter: absurd if parameter == one else 1 for parameter in given})
    lines = [line for line in _lines(meter) if line.startswith("headrace_")]
    assert lines
    assert not any("NaN" in line or len(line) > 500 for line in lines)


def test_a_figure_that_has_no_float_is_shown_as_the_largest_one_and_later_sums_go_on() -> None:
    meter = Meter()
    meter.charged("gpt-4o", "bulk", 10**400)
    meter.charged("gpt-4o", "bulk", 7)
    meter.backlog("bulk", 1, 10**400, float("nan"))
    lines = _lines(meter)
    assert 'headrace_charge_tokens_total{lane="bulk",model="gpt-4o"} 1.000000000000007e+15' in lines
    assert 'headrace_backlog_seconds{lane="bulk"} 1e+15' in lines


def test_a_lag_of_which_nothing_is_known_is_not_shown() -> None:
    meter = Meter()
    meter.lag("bulk", None, 0)
    meter.lag("bulk", 0, 2.0)
    assert {'headrace_lag_requests{lane="bulk"} 0.0', 'headrace_lag_age_seconds{lane="bulk"} 2.0'} <= _lines(meter)
    meter.lag("bulk", None, 0)
    assert not [line for line in _lines(meter) if line.startswith("headrace_lag_")]


def test_kinds_of_retries_are_bounded_since_they_stand_in_records() -> None:
    meter = Meter()
    for number in range(LABELS_MAX + 50):
        meter.retries_waiting(f"kind-{number}", 1)
    assert len([line for line in _lines(meter) if line.startswith("headrace_retries_waiting{")]) == LABELS_MAX + 1
