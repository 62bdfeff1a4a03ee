"""The table of alerts. Few page: those where requests are lost or late until a person acts.

A budget is a value of the label `job`, which its dispatchers and retriers share. Each condition is written for scrapes
of 15 to 60 s: what changes between two scrapes, such as the leader at a hand-over, is believed only once it has held
longer than a scrape. Where several alerts would tell of one cause, all but the nearest to it are left out.
"""

from typing import Final

from headrace.broker.observability.alert import (
    CAUSES_TO_ACT_ON,
    KAFKA_AWAY,
    Alert,
    Severity,
    above,
    above_its_own,
    reached,
    shown,
)
from headrace.broker.observability.gateway_alerts import GATEWAY_ALERTS
from headrace.broker.observability.objectives import FAST, PAGED_S, SLOW, burns
from headrace.broker.observability.panel import DISPATCHERS, rate

_STANDBYS: Final = (
    f"count by (job) (headrace_leader == 0 {DISPATCHERS} and on (job, instance) headrace_kafka_ready == 1)"
)
_RETRIER: Final = 'sum by (job) (headrace_leader and on (job, instance) headrace_info{process="retrier"}) > 0'
_COMMITTED: Final = 'result="committed"'
_UNCOMMITTED: Final = 'result!="committed"'
_ACCOUNT: Final = f'cause=~"{"|".join(CAUSES_TO_ACT_ON)}"'
_NOT_ACCOUNT: Final = f'cause!~"{"|".join(CAUSES_TO_ACT_ON)}"'
_CAUSE: Final = (
    f"{{{{ with printf `{shown('breaker_open')}{{job='%s', model='%s'}}` $labels.job $labels.model | query }}}}"
    "{{ . | first | label `cause` }}{{ end }}."
)
"""The present cause. It is no label of the alert: each probe may fail for another one, and `for` would begin anew."""

_OBJECTIVES: Final = "max by (job, lane) (headrace_lane_objective_seconds)"
_LOST: Final = 'reason=~"crashed|lost_by_retention|unpublishable"'
_FAILED_MIN: Final = 3
"""As for `/status`: fewer failures are no pattern."""


def _all_failing(label: str) -> str:
    """Return the condition that outcomes failed in five minutes and none completed; the first failures are counted."""
    failed = 'headrace_outcomes_total{status="failed", reason!="cancelled", lane!=""}'
    by = f"sum by (job, {label})"
    return (
        f"{by} (({failed} unless {failed} offset 5m) or increase({failed}[5m])) >= {_FAILED_MIN}"
        f' unless {by} (increase(headrace_outcomes_total{{status="completed"}}[5m])) > 0'
    )


def _missed_deadlines() -> str:
    missed = 'headrace_outcomes_total{reason=~"deadline_exceeded|deadline_unreachable", lane!=""}'
    count = f"sum by (job, lane) (({missed} unless {missed} offset 10m) or increase({missed}[10m]))"
    every = "sum by (job, lane) (increase(headrace_outcomes_total[10m]))"
    return f"{count} >= {_FAILED_MIN} and {count} > 0.01 * {every}"


def _breaker(cause: str) -> str:
    return reached("breaker_open", f'cause="{cause}"')


ALERTS: Final[tuple[Alert, ...]] = (
    # ------------------------------------------------------------------ leadership and processes
    Alert(
        name="HeadraceNoLeader",
        panels=("leaders",),
        condition=f"group by (job) (last_over_time({shown('leaders')}[1d])) unless on (job) {shown('leaders')} > 0"
        f" unless on (job) {KAFKA_AWAY}",
        hold="90s",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: no dispatcher leads.",
        description="No request is taken or called. Kafka keeps them: none is lost before its deadline.",
        runbook="no-leader",
    ),
    Alert(
        name="HeadraceTwoLeaders",
        panels=("leaders",),
        condition=f"{shown('leaders')} > 1",
        hold="2m",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: {{ $value }} dispatchers say that they lead.",
        description="Kafka lets only one of them publish, but calls may be paid twice; or two budgets share this job.",
        runbook="two-leaders",
    ),
    Alert(
        name="HeadraceNoStandby",
        panels=("leaders", "kafka_ready"),
        condition=f"{shown('leaders')} > 0 unless on (job) {_STANDBYS}",
        hold="10m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: the leader has no standby.",
        description="If the leader ends, nothing is called until another dispatcher has started.",
        runbook="no-standby",
    ),
    Alert(
        name="HeadraceRestarting",
        panels=("memory",),
        condition="sum by (job) (changes(process_start_time_seconds[15m])"
        " and on (job, instance) last_over_time(headrace_info[15m])) >= 3",
        hold="0s",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: processes restarted {{ $value }} times in 15 minutes.",
        description="Each restart of the leader repeats, and pays again, the calls that were under way.",
        runbook="restarting",
    ),
    Alert(
        name="HeadraceKafkaAway",
        panels=("kafka_ready",),
        condition=KAFKA_AWAY,
        hold="1m",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: Kafka answers none of the processes.",
        description="No request is taken and no outcome published; paid answers are held in the leader's memory.",
        runbook="kafka-away",
    ),
    Alert(
        name="HeadraceRedisAway",
        panels=("redis_ready",),
        condition=f"count by (job) ({shown('redis_ready')} == 0)",
        hold="90s",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: Redis does not answer {{ $value }} of the processes.",
        description="The leader goes on without it. If it ends before Redis is back, no standby can take over.",
        runbook="redis-away",
    ),
    Alert(
        name="HeadraceTransactionsFailing",
        panels=("transactions", "transaction_p95"),
        condition='sum by (job) (increase(headrace_transactions_total{result!="committed"}[5m])) >= 3'
        f" and on (job) {rate('transactions', where=_UNCOMMITTED)} > {rate('transactions', where=_COMMITTED)}",
        hold="1m",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: {{ $value | printf `%.0f` }} transactions failed in 5 minutes, most of all.",
        description="Outcomes of paid calls are not published. They are held in the leader's memory and tried again.",
        runbook="transactions-failing",
    ),
    Alert(
        name="HeadraceDefectContained",
        panels=("contained",),
        condition=reached("contained"),
        hold="0s",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: {{ $value | printf `%.0f` }} defects in an hour at step {{ $labels.step }}.",
        description="An exception in Headrace's own code ended a request or an observation. Report it with its trace.",
        runbook="defect-contained",
    ),
    Alert(
        name="HeadraceDedupeWindowShort",
        panels=("dedupe_window",),
        condition=f"{shown('dedupe_window')} < on (job)"
        " 0.99 * max by (job) (headrace_dedupe_window_configured_seconds > 0)",
        hold="10m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: ids are recognised for {{ $value | humanizeDuration }} only.",
        description="More ids came than `dedupe.ids_max`: a request that repeats an older id is called and paid again.",
        runbook="dedupe-window-short",
    ),
    # ------------------------------------------------------------------ the account and its limits
    Alert(
        name="HeadraceQuotaExhausted",
        panels=("breaker_open",),
        condition=_breaker("quota"),
        hold="30s",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: OpenAI refuses all calls: no credit is left, or a spend limit is reached.",
        description="Requests wait until their deadlines. Calls resume by themselves within a minute of the payment.",
        runbook="quota-exhausted",
    ),
    Alert(
        name="HeadraceKeyRefused",
        panels=("breaker_open",),
        condition=_breaker("auth"),
        hold="30s",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: OpenAI refuses the key, the organisation or the project.",
        description="Requests wait until their deadlines.",
        runbook="key-refused",
    ),
    Alert(
        name="HeadraceWrongServer",
        panels=("breaker_open",),
        condition=_breaker("not_the_api"),
        hold="30s",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: what answers at `openai.base_url` is not OpenAI's API.",
        description="Requests wait until their deadlines.",
        runbook="wrong-server",
    ),
    Alert(
        name="HeadraceBreakerOpen",
        panels=("breaker_open",),
        condition=f"max by (job, model) ({reached('breaker_open', _NOT_ACCOUNT)})",
        hold="3m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: the breaker of {{ $labels.model }} stays open: " + _CAUSE,
        description="OpenAI does not serve this limit. One call at a time asks again; requests wait, or are parked.",
        runbook="breaker-open",
    ),
    Alert(
        name="HeadraceLimitShut",
        panels=("next_call_seconds",),
        condition=f"{above('next_call_seconds')} unless on (job, model) {shown('breaker_open')}",
        hold="30s",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: OpenAI lets no call on {{ $labels.model }} for {{ $value | humanizeDuration }}.",
        description="A limit per day, say, is used up. Requests are parked; those that cannot wait so long are Failed.",
        runbook="limit-shut",
    ),
    Alert(
        name="HeadraceRefusals",
        panels=("refused_share",),
        condition=f"{above('refused_share')} and on (job) sum by (job) (increase(headrace_throttles_total[5m])) >= 5",
        hold="5m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of the calls are refused with 429.",
        description="Another client spends from the account, or the server counts in a way that is not understood.",
        runbook="refusals",
    ),
    Alert(
        name="HeadraceForeignTraffic",
        panels=("foreign_share",),
        condition=above("foreign_share"),
        hold="5m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: other clients take {{ $value | humanizePercentage }} of {{ $labels.model }}.",
        description="The lanes share what is left, and calls are refused that would have been admitted.",
        runbook="foreign-traffic",
    ),
    Alert(
        name="HeadraceChargeLawChanged",
        panels=("charge_law", "charge_error"),
        condition=f"{shown('charge_law')} == 1"
        f" unless on (job, model, law) {shown('charge_law')} offset 1h == 1"
        f" and on (job, model) {shown('charge_law')} offset 1h == 1",
        hold="2m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: calls of {{ $labels.model }} are charged by another law: {{ $labels.law }}.",
        description="Predictions follow by themselves. Plans made with the former law are out of date.",
        runbook="charge-law-changed",
    ),
    # ------------------------------------------------------------------ lanes
    Alert(
        name="HeadraceBacklogAboveObjective",
        panels=("backlog_seconds", "oldest_seconds"),
        condition=above_its_own("backlog_seconds"),
        hold="30s",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: what waits in lane {{ $labels.lane }} takes {{ $value | humanizeDuration }}.",
        description="That is longer than its objective, at the rate of the limit that binds: outcomes will be late.",
        runbook="backlog-above-objective",
    ),
    Alert(
        name="HeadraceLaneStandsStill",
        panels=("oldest_seconds", "outcomes_per_second"),
        condition=f"{shown('oldest_seconds')} > on (job, lane) ({_OBJECTIVES} <= {PAGED_S})"
        ' unless on (job, lane) sum by (job, lane) (increase(headrace_outcomes_total{status="completed"}[5m])) > 0'
        f" unless on (job) {shown('breaker_open', _ACCOUNT)}",
        hold="1m",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: lane {{ $labels.lane }} has stood still for {{ $value | humanizeDuration }}.",
        description="That is longer than its objective, and no request of the lane was completed in five minutes.",
        runbook="lane-stands-still",
    ),
    Alert(
        name="HeadraceLagGrowing",
        panels=("lag_requests", "taken_per_second", "backlog_requests"),
        condition=f"{shown('lag_requests')} > 0 and delta({shown('lag_requests')}[2m]) > 0"
        f" and {shown('taken_per_second')} == 0 and {shown('backlog_requests')} == 0",
        hold="1m",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: {{ $value }} records wait in lane {{ $labels.lane }}, and none is taken.",
        description="A process leads, its lane has room, and yet it takes nothing: the lane stands still.",
        runbook="lag-growing",
    ),
    Alert(
        name="HeadraceObjectiveBurnsFast",
        panels=("late_share", "outcome_p95"),
        condition=burns(*FAST, paged=True),
        hold="1m",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of lane {{ $labels.lane }}'s outcomes are late.",
        description="The month's allowance of late outcomes is spent within days at this rate.",
        runbook="objective-burns",
    ),
    Alert(
        name="HeadraceObjectiveBurnsSlowly",
        panels=("late_share", "outcome_p95"),
        condition=burns(*SLOW, paged=False),
        hold="15m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: {{ $value | humanizePercentage }} of lane {{ $labels.lane }}'s outcomes are late.",
        description="The lane's promise does not hold over a month at this rate: plan more quota, or promise less.",
        runbook="objective-burns",
    ),
    Alert(
        name="HeadraceDeadlinesMissed",
        panels=("failed_per_second",),
        condition=_missed_deadlines(),
        hold="1m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: lane {{ $labels.lane }}: {{ $value | printf `%.0f` }} missed deadlines.",
        description="They were Failed in the last 10 minutes: the budget did not suffice in time.",
        runbook="deadlines-missed",
    ),
    # ------------------------------------------------------------------ failures
    Alert(
        name="HeadraceLaneFailing",
        panels=("failed_per_second", "outcomes_per_second"),
        condition=_all_failing("lane"),
        hold="1m",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: lane {{ $labels.lane }}: all {{ $value | printf `%.0f` }} outcomes failed.",
        description="Not one request of this lane was completed.",
        runbook="all-failing",
    ),
    Alert(
        name="HeadraceModelFailing",
        panels=("failed_per_second", "outcomes_per_second"),
        condition=_all_failing("model"),
        hold="1m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: {{ $labels.model }}: all {{ $value | printf `%.0f` }} outcomes failed.",
        description="Not one request for this model was completed.",
        runbook="all-failing",
    ),
    Alert(
        name="HeadraceDeadLettersRising",
        panels=("dead_letters",),
        condition=f"{above('dead_letters')} unless {shown('dead_letters')} <= 2 * {shown('dead_letters')} offset 1h"
        " and on (job, reason) sum by (job, reason) (increase(headrace_dead_letters_total[5m])) > 0",
        hold="1m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: {{ $value | printf `%.0f` }} dead letters in an hour: {{ $labels.reason }}.",
        description="More than twice as many as in the hour before. They can be put back once the cause is gone.",
        runbook="dead-letters-rising",
    ),
    Alert(
        name="HeadraceRecordsLost",
        panels=("dead_letters",),
        condition=f"{shown('dead_letters', _LOST)} > 0",
        hold="0s",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: {{ $value | printf `%.0f` }} dead letters in an hour: {{ $labels.reason }}.",
        description="A defect, a topic's retention or a topic's settings cost these requests; each deserves a look.",
        runbook="records-lost",
    ),
    Alert(
        name="HeadraceRetrierAbsent",
        panels=("retries_waiting",),
        condition=f"{shown('retries_waiting')} > 0 unless on (job) {_RETRIER}",
        hold="5m",
        severity=Severity.PAGE,
        summary="{{ $labels.job }}: {{ $value }} requests are parked, and no retrier runs.",
        description="Only a retrier puts them back; without one they are Failed after their deadlines.",
        runbook="retrier-absent",
    ),
    Alert(
        name="HeadraceRetriesHeldBack",
        panels=("retries_held_back",),
        condition=f"{shown('retries_held_back')} > 0",
        hold="15m",
        severity=Severity.TICKET,
        summary="{{ $labels.job }}: {{ $value }} retries are due, and lane {{ $labels.lane }} takes no more.",
        description="More retries are due than the lane's retry budget lets back beside its fresh requests.",
        runbook="retries-held-back",
    ),
    *GATEWAY_ALERTS,
)

BY_NAME: Final = {alert.name: alert for alert in ALERTS}
"""Alerts by their names."""
