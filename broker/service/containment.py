"""Containment of exceptions in our own code that end one request, or one observation, and not the process.

They are counted and logged. The line names the exception's type and the places that it passed through. Its message is
left out: it may quote a prompt (`int()` and pydantic quote what they could not read). A defect that concerns one
request gets a line for each; one of an observer (metrics, status, logs) gets one line a minute for each step and type,
since it may fail each second.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

import structlog

from headrace.broker.adapters.prometheus.process_meter import ProcessMeter
from headrace.broker.clock import WallClock
from headrace.broker.traces import traced

SAID_AGAIN_EVERY_MS: Final = 60_000
KINDS_MAX: Final = 100
"""Number of steps and types of exceptions that are distinguished."""

_log = structlog.get_logger("containment")


class ContainmentReporter(Protocol):
    """Reports that an exception ended one request, and nothing else."""

    def __call__(self, step: str, error: BaseException | None = None, **where: str | int | None) -> None:
        """`step` is a short fixed word, a label of the metric; `where` names the request: ids, topics, offsets."""


class Containment:
    """Counter and logger of contained exceptions; no method raises."""

    def __init__(self, meter: ProcessMeter, clock: WallClock) -> None:
        """The meter has the counter, `headrace_contained_total`."""
        self._meter = meter
        self._clock = clock
        self._say_at_ms: dict[tuple[str, str], int] = {}
        self._silenced: dict[tuple[str, str], int] = {}

    def contained(self, step: str, error: BaseException | None = None, **where: str | int | None) -> None:
        """Report an exception that ended one request at `step`; without `error` it is only counted."""
        with contextlib.suppress(Exception):  # the report must not do the damage that it reports
            self._meter.contained(step)
        if error is not None:
            with contextlib.suppress(Exception):
                named = {name: value for name, value in where.items() if value is not None}
                _log.error("contained", step=step, **named, **traced(error))

    def observed(self, step: str, error: BaseException) -> None:
        """Report an exception that ended one observation at `step`; the next one is still made."""
        with contextlib.suppress(Exception):
            self._meter.contained(step)
        with contextlib.suppress(Exception):
            kind, now_ms = (step, type(error).__name__), self._clock.now_ms()
            if now_ms < self._say_at_ms.get(kind, now_ms):
                self._silenced[kind] = self._silenced.get(kind, 0) + 1
                return
            if len(self._say_at_ms) >= KINDS_MAX:
                self._say_at_ms.clear()
                self._silenced.clear()
            self._say_at_ms[kind] = now_ms + SAID_AGAIN_EVERY_MS
            _log.error("observation_failed", step=step, unsaid=self._silenced.pop(kind, 0), **traced(error))

    @contextlib.contextmanager
    def observing(self, step: str) -> Iterator[None]:
        """Survive any exception that ends the block, which only observes."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 — what only observes ends nothing, whatever is wrong with it
            self.observed(step, error)


class Observer(Protocol):
    """Observer, with the containment of its failures."""

    @property
    def containment(self) -> Containment: ...  # noqa: D102 — see the class


_O = TypeVar("_O", bound=Observer)
_P = ParamSpec("_P")


def surviving(
    step: str,
) -> Callable[[Callable[Concatenate[_O, _P], None]], Callable[Concatenate[_O, _P], None]]:
    """Decorate a method so that it raises no exception: what it observes goes on without it."""

    def decorated(method: Callable[Concatenate[_O, _P], None]) -> Callable[Concatenate[_O, _P], None]:
        @functools.wraps(method)
        def survived(self: _O, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
            try:
                method(self, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 — what only observes ends nothing, whatever is wrong with it
                self.containment.observed(step, error)

        return survived

    return decorated


def said(step: str, error: BaseException) -> None:
    """Log like `Containment.observed`, where there is no meter: every time."""
    with contextlib.suppress(Exception):
        _log.error("observation_failed", step=step, **traced(error))
