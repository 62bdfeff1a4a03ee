"""What the statuses of two dispatchers say together."""

from typing import Any

from headrace.broker.cli.demo.inside import BucketEstimate, Inside, read_statuses


def status(name: str, role: str, **more: Any) -> dict[str, Any]:
    lanes = {lane: {"waiting": 0, "calling": 0} for lane in ("urgent", "standard", "bulk")}
    return {"name": name, "role": role, "term": 2, "inflight": 0, "lanes": lanes, "limits": {}, **more}


def limit(*, believed: bool) -> dict[str, Any]:
    tokens = {"metric": "tokens", "capacity": 10_000, "period_s": 60.0, "level_low": 512, "level_high": 690}
    requests = {"metric": "requests", "capacity": 500, "period_s": 60.0, "level_low": 480, "level_high": 481}
    return {"gpt-4o-mini": {"believed": believed, "buckets": [requests, tokens]}}


def test_one_leads_and_the_other_stands_by() -> None:
    lanes = {"urgent": {"waiting": 1}, "bulk": {"waiting": 17}}
    leader = status("dispatcher-2", "leader", lanes=lanes, inflight=3, pid=4242, limits=limit(believed=True))
    assert read_statuses([status("dispatcher-1", "standby"), leader]) == Inside(
        leader="dispatcher-2",
        leader_pid=4242,
        standbys=("dispatcher-1",),
        term=2,
        waiting={"urgent": 1, "bulk": 17},
        inflight=3,
        bucket=BucketEstimate(512, 690, 10_000),
    )


def test_between_two_terms_nobody_leads() -> None:
    assert read_statuses([status("dispatcher-1", "starting"), status("dispatcher-2", "standby")]) == Inside(
        standbys=("dispatcher-2",)
    )
    assert read_statuses([]) == Inside()


def test_what_is_not_yet_believed_is_not_shown() -> None:
    assert read_statuses([status("dispatcher-1", "leader", limits=limit(believed=False))]).bucket is None
    assert read_statuses([status("dispatcher-1", "leader")]).bucket is None
