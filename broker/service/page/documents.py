"""The document that the page draws: the leader's status, and beside it what it means and how old it is.

A leader shows its own status, a process that stands by the one that the leader left in Redis. Without Redis a process
shows itself alone, and says so. `lately`, the last fifteen minutes, is in the leader's status there.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

from headrace.broker.errors import LeaseUnavailable
from headrace.broker.observability.panels import PANELS
from headrace.broker.service.containment import Containment
from headrace.broker.service.health import Health
from headrace.broker.service.page.headline import FlowState, Headline, headline
from headrace.broker.service.status.findings import StatusFinding, findings, table_of
from headrace.broker.service.status.reading import Report, Said, StatusReading, read_report
from headrace.broker.service.status.request_sentences import hindrance
from headrace.broker.settings.whole import Settings
from headrace.broker.status_ports import Reported, StatusBoard

OWN: Final = "own"
LEADERS: Final = "redis"
_NOT_DRAWN: Final = frozenset({"spending"})
"""Parts of a status that the page does not draw; this one may have 30 KB, and goes to each open page each second."""
_UNREADABLE: Final = StatusFinding(
    grave=True,
    sentence="What is wrong could not be worked out from this status; the log says why (observation_failed).",
)


@dataclass(frozen=True, slots=True)
class Documents:
    """Maker of documents.

    Attributes:
        own: Returns this process's status, at most a second old.
        board: What others have left in Redis; None: there is none.
    """

    settings: Settings
    health: Health
    own: Callable[[], Mapping[str, Any]]
    board: StatusBoard | None
    containment: Containment

    def introduction(self) -> dict[str, Any]:
        """Return what a page needs once: the table of panels, and settings that figures are shown against."""
        return {
            "version": version("headrace"),
            "panels": {
                panel.key: {
                    "title": panel.title,
                    "meaning": panel.meaning,
                    "unit": panel.unit.value,
                    "group": panel.group.value,
                    "by": panel.by,
                    "warn": panel.warn,
                    "figure": panel.figure,
                    "warn_figure": panel.warn_figure,
                }
                for panel in PANELS
            },
            "lanes": {
                name: {"order": lane.order, "buffer_max": lane.buffer_max}
                for name, lane in sorted(self.settings.lanes.items(), key=lambda item: item[1].order)
            },
            "inflight_max": self.settings.dispatcher.inflight_max,
            "held_bytes_max": int(self.settings.dispatcher.held_bytes_max),
            "dedupe_window_s": self.settings.dedupe.window_s,
        }

    async def document(self) -> dict[str, Any]:
        """Return the present document; a part that fails is left out and said to be."""
        own = self.own()
        look = await self._look(own)
        first, found = Headline(FlowState.UNKNOWN, "This status cannot be summed up.", "unreadable"), [_UNREADABLE]
        with self.containment.observing("page"):
            found = findings(look)
        with self.containment.observing("page"):
            first = headline(look)
        report = look.dispatcher
        return {
            **{name: part for name, part in (report.said or {}).items() if name not in _NOT_DRAWN},
            "page": {
                "flow": first.flow.value,
                "sentence": first.sentence,
                "subject": first.subject,
                "binds": self._binds(report.said),
                "findings": [asdict(finding) for finding in found],
                "source": OWN if report.said is own else LEADERS,
                "age_s": report.age_s,
                "is_stale": report.is_stale,
                "holder": report.holder,
                "standbys": report.standbys,
                "retrier": _retrier(look.retrier),
                "shown_by": {key: own.get(key) for key in ("host", "pid", "owner", "role", "ready", "trouble", "at")},
            },
        }

    def _binds(self, said: Said | None) -> dict[str, str]:
        """Return in words, for each limit, what its next request waits for."""
        binds: dict[str, str] = {}
        for name, limit in table_of(said or {}, "limits").items():
            reasons = limit.get("next_waits_for") if isinstance(limit, Mapping) else None
            if isinstance(reasons, list) and reasons:
                with self.containment.observing("page"):
                    binds[name] = f"{'; and '.join(hindrance(each) for each in reasons)}."
        return binds

    async def _look(self, own: Mapping[str, Any]) -> StatusReading:
        """Return the leader's report: this process's own, or the one in Redis; without Redis, this process's own."""
        prefix, left, retrier = self.settings.kafka.topic_prefix, None, None
        if self.board is not None:
            with contextlib.suppress(LeaseUnavailable):
                left = await self.board.dispatcher()
                retrier = await self.board.retrier()
        if left is None:
            return StatusReading(prefix, Report(said=own, age_s=0.0, kind="url", place="here"))
        report = _own_report(left, own) if self.health.holds_the_lease else _report(left)
        told = None if retrier is None else _report(retrier)
        return StatusReading(prefix, report, told if told is not None and (told.said or told.spoilt) else None)


def _own_report(left: Reported, own: Said) -> Report:
    """Return this process's own status, and what Redis knows beside it; what is left there of a status is not read."""
    return Report(
        said=own,
        age_s=0.0,
        kind="redis",
        place=f"{left.lease_key}:status",
        holder=left.holder,
        standbys=left.standbys,
        spoilt=left.spoilt,
    )


def _report(left: Reported) -> Report:
    told, place = read_report(left.status), f"{left.lease_key}:status"
    unread = () if told is not None or left.status is None else (f"The value of {place} in Redis is not a status.",)
    return Report(
        said=told,
        age_s=None if told is None else left.age_s,
        kind="redis",
        place=place,
        holder=left.holder,
        standbys=left.standbys,
        spoilt=(*left.spoilt, *unread),
    )


def _retrier(report: Report | None) -> dict[str, Any] | None:
    if report is None or report.said is None:
        return None
    kept = ("role", "host", "pid", "term", "leading_since", "ready", "waiting", "url")
    return {"age_s": report.age_s, "is_stale": report.is_stale, **{key: report.said.get(key) for key in kept}}
