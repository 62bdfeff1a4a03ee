"""Core configuration from the settings, in its units: for the dispatcher and the planner, which run the same core.

It loads no door, so that a plan is made where neither Kafka nor OpenAI can be reached.
"""

from headrace.broker.core.budget.budget import Budget, Checkpoint, LimitBeliefs
from headrace.broker.core.config import WEIGHT_ONE, DispatchRules, LaneRule, LeaseTimes, RetryRules, TenantRule
from headrace.broker.core.pricing.unshown_input import KnownReferences
from headrace.broker.core.requests.predecessor import MakeBudget
from headrace.broker.core.units import PPM
from headrace.broker.ports import SENT_BYTES_MAX
from headrace.broker.settings.limits import settings_of
from headrace.broker.settings.tenants import OTHERS, TenantSettings
from headrace.broker.settings.topics import DAY_S
from headrace.broker.settings.whole import Settings

_PARKED_OVERHEAD_BYTES = 64 * 1024
_OUTCOME_OVERHEAD_BYTES = 16 * 1024


def dispatch_rules(settings: Settings) -> DispatchRules:
    """Return the core's settings, in its units."""
    lanes = tuple(
        LaneRule(
            name=name,
            order=lane.order,
            reserve_ppm=round(lane.reserve * PPM),
            floor_ppm=round(lane.floor * PPM),
            buffer_max=lane.buffer_max,
            buffer_bytes_max=int(lane.buffer_bytes_max),
            ceiling_ppm=round(lane.ceiling * PPM),
            serial=lane.serial,
            lift_ppm=round(lane.lift * PPM),
        )
        for name, lane in settings.lanes.items()
    )
    return DispatchRules(
        lanes=lanes,
        retry=RetryRules(settings.retry.in_place_max_s * 1_000, settings.retry.attempts_max),
        lease=LeaseTimes(ttl_ms=round(settings.dispatcher.lease_ttl_s * 1_000)),
        inflight_max=settings.dispatcher.inflight_max,
        held_bytes_max=int(settings.dispatcher.held_bytes_max),
        parked_bytes_max=_parked_bytes_max(settings),
        dedupe_window_ms=settings.dedupe.window_s * 1_000,
        dedupe_ids_max=settings.dedupe.ids_max,
        outcome_bytes_max=answer_bytes_max(settings),
        cancel_patience_ms=max(map(settings.deadline_max_s, settings.lanes)) * 1_000,
        copy_within_ms=_copy_within_s(settings) * 1_000,
        tenants={name: _tenant(tenant) for name, tenant in settings.tenants.items() if name != OTHERS},
        other_tenants=_tenant(settings.tenants.get(OTHERS, TenantSettings())),
    )


def answer_bytes_max(settings: Settings) -> int:
    """Return the largest size of an answer whose outcome fits the results topic."""
    return min(SENT_BYTES_MAX, int(settings.topics.results.max_message_bytes)) - _OUTCOME_OVERHEAD_BYTES


def _tenant(tenant: TenantSettings) -> TenantRule:
    return TenantRule(round(tenant.weight * WEIGHT_ONE), tenant.cap_tokens_per_minute, tenant.inflight_max)


def _parked_bytes_max(settings: Settings) -> int:
    """Return the largest size of a parked request: it must fit the failures topic and its lane, with what we add.

    And it must be readable when it comes back: encoded anew it may be larger than it was.
    """
    topic_max = min(
        SENT_BYTES_MAX, settings.topics.failures.max_message_bytes, settings.topics.requests.max_message_bytes
    )
    return min(int(topic_max) - _PARKED_OVERHEAD_BYTES, settings.input.request_bytes_max)


def _copy_within_s(settings: Settings) -> int:
    """Return the time within which a copy may come: its failure's retention, its lane's, and a day until removal."""
    return settings.topics.failures.retention_s + settings.topics.requests.retention_s + DAY_S


def budget_maker(settings: Settings) -> MakeBudget:
    """Return a function that makes the mirror of a limit, configured or not.

    All of them share what the references of requests carry: a conversation may go on with another model.
    """
    references = KnownReferences()

    def make(name: str, now_ms: int, checkpoint: Checkpoint | None) -> Budget:
        known = settings_of(name, settings.limits)
        believed = LimitBeliefs(name, None, None, inflight_max=None)
        if known is not None:
            believed = LimitBeliefs(
                name,
                known.tokens_per_minute,
                known.requests_per_minute,
                cap_tokens=known.cap_tokens_per_minute,
                inflight_max=known.inflight_max,
                burst_ms=None if known.burst_s is None else round(known.burst_s * 1_000),
                tokens_per_day=known.tokens_per_day,
                requests_per_day=known.requests_per_day,
                named=True,
            )
        return Budget(believed, now_ms, checkpoint, references)

    return make
