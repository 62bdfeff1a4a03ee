"""The rows by name: how each is measured, and where."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from benchmarks.lanes import backlog, cost, deadlines, floors, large, really, shares, waits
from benchmarks.lanes.findings import Finding


class Place(StrEnum):
    """BESIDE others, on as many processors as there are; ALONE in this process; REAL with services, at last."""

    BESIDE = "beside"
    ALONE = "alone"
    REAL = "real"


@dataclass(frozen=True, slots=True)
class Asked:
    """Amounts: runs of rows that are played over many seeds, seconds of real traffic, records in Kafka."""

    seeds: int = 20
    seconds: int = 300
    records: int = backlog.MANY


@dataclass(frozen=True, slots=True)
class Row:
    """One promise, or a few that one run shows."""

    name: str
    place: Place
    measure: Callable[[Asked], Finding]


def _waits(name: str, asked: Asked) -> Finding:
    return waits.measure(next(scene for scene in waits.SCENES if scene.name == name), asked.seeds)


def _deadlines(name: str, _: Asked) -> Finding:
    return deadlines.measure(next(scene for scene in deadlines.SCENES if scene.name == name))


def _large(asked: Asked) -> Finding:
    return large.measure(asked.seeds, with_urgent=False)


def _large_urgent(asked: Asked) -> Finding:
    return large.measure(asked.seeds, with_urgent=True)


def _saturated(_: Asked) -> Finding:
    return floors.saturated()


def _bulk_alone(_: Asked) -> Finding:
    return floors.alone()


def _at_every_instant(asked: Asked) -> Finding:
    return shares.at_every_instant(asked.seeds)


def _newcomers(asked: Asked) -> Finding:
    return shares.newcomers(asked.seeds)


def _over_minutes(_: Asked) -> Finding:
    return shares.over_minutes()


def _behind_a_full_buffer(_: Asked) -> Finding:
    return shares.behind_a_full_buffer()


def _cost_waiting(_: Asked) -> Finding:
    return cost.waiting()


def _cost_tenants(_: Asked) -> Finding:
    return cost.tenants()


def _cost_both(_: Asked) -> Finding:
    return cost.both()


def _really(asked: Asked) -> Finding:
    return really.measure(asked.seconds)


def _backlog(asked: Asked) -> Finding:
    return backlog.measure(asked.records)


ROWS: Final = (
    Row("urgent-real", Place.REAL, _really),
    *(Row(scene.name, Place.BESIDE, partial(_waits, scene.name)) for scene in waits.SCENES),
    Row("floors", Place.BESIDE, _saturated),
    Row("bulk-alone", Place.BESIDE, _bulk_alone),
    Row("fair-instant", Place.BESIDE, _at_every_instant),
    Row("fair-minutes", Place.BESIDE, _over_minutes),
    Row("fair-buffer", Place.BESIDE, _behind_a_full_buffer),
    Row("newcomer", Place.BESIDE, _newcomers),
    Row("large", Place.BESIDE, _large),
    Row("large-urgent", Place.BESIDE, _large_urgent),
    *(Row(scene.name, Place.BESIDE, partial(_deadlines, scene.name)) for scene in deadlines.SCENES),
    Row("cost-waiting", Place.ALONE, _cost_waiting),
    Row("cost-tenants", Place.ALONE, _cost_tenants),
    Row("cost-both", Place.ALONE, _cost_both),
    Row("backlog", Place.REAL, _backlog),
)
