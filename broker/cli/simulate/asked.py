"""The input of a run: the workload of a file, or of a few options, and the behaviour of the simulated OpenAI."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from headrace.broker.errors import SettingsError
from headrace.broker.planner.amounts import per_hour, span, span_ms
from headrace.broker.planner.workload import HOUR_MS, Span, Stream, Workload
from headrace.broker.planner.workload_file import WorkloadError, lane_among, workload_in
from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import check_together, played_by, server_among
from headrace.broker.simulator.drawn_server import DrawnServer
from headrace.schemas.nearest import ended

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Options:
    """A workload given by options, each `LANE=VALUE`, or a value for every lane."""

    rates: Sequence[str]
    sizes: Sequence[str]
    answers: Sequence[str]
    deadlines: Sequence[str]
    model: str
    hours: float | None
    requests: int | None
    seed: int


def workload_from(file: Path | None, options: Options, lanes: Iterable[str]) -> Workload:
    """Return the workload. Raises SettingsError with one sentence."""
    known = tuple(lanes)
    if file is None:
        return _told(options, known)
    if options.rates or options.sizes or options.answers or options.deadlines:
        raise SettingsError(
            f"{file} describes the workload: leave out --rate, --size, --answer and --deadline, or leave out the file."
        )
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"The workload {file} cannot be read: {reason}.") from error
    try:
        return workload_in(text, is_json=file.suffix == ".json", lanes=known)
    except WorkloadError as error:
        raise SettingsError(ended(f"The workload {file} cannot be played: {error}")) from error


def behaviours_from(names: Sequence[str]) -> tuple[tuple[Behaviour, ...], DrawnServer | None]:
    """Return behaviours by name, and the server among them that a seed draws. Raises SettingsError."""
    try:
        played = played_by(names)
        check_together(played)
        return played, server_among(names)
    except ValueError as error:
        raise SettingsError(ended(f"--behaviour: {error}")) from error


def latency_from(text: str) -> tuple[float, float]:
    """Parse seconds, as `0.2` or `1-4`. Raises SettingsError."""
    shortest, _, longest = text.partition("-")
    try:
        found = float(shortest), float(longest or shortest)
    except ValueError:
        found = (1.0, 0.0)
    if not 0 <= found[0] <= found[1] <= 3_600:
        raise SettingsError(f"--latency is a number of seconds or a range such as 1-4, not {text!r}.")
    return found


def factors_from(text: str) -> tuple[float, ...]:
    """Parse `0.5,1,2`: the quotas to compare, 1 always among them. Raises SettingsError."""
    try:
        found = {float(part) for part in text.split(",")}
    except ValueError:
        found = {0.0}
    if not all(0.001 <= factor <= 1_000 for factor in found) or len(found) > 20:
        raise SettingsError(f"--quotas is a list of factors such as 0.5,1,2, not {text!r}.")
    return tuple(sorted(found | {1.0}))


def _told(options: Options, lanes: tuple[str, ...]) -> Workload:
    if not options.rates:
        raise SettingsError(
            "No workload is given: name a file, such as examples/workload.toml, or use --rate, such as --rate "
            "urgent=2/s."
        )
    rates = _by_lane("--rate", options.rates, per_hour, lanes)
    sizes = _by_lane("--size", options.sizes, span, lanes)
    answers = _by_lane("--answer", options.answers, span, lanes)
    deadlines = _by_lane("--deadline", options.deadlines, span_ms, lanes)
    for name, told in (("--size", sizes), ("--answer", answers), ("--deadline", deadlines)):
        for lane in told.keys() - rates.keys() - {""}:
            raise SettingsError(f"{name} names lane {lane!r}, which has no --rate: add one, or leave the lane out.")
    streams = tuple(
        Stream(
            name=lane,
            lane=lane,
            per_hour=rate,
            model=options.model,
            input_tokens=_of(sizes, lane) or Span(400, 1_200),
            output_tokens=_of(answers, lane) or Span(100, 300),
            deadline_ms=_of(deadlines, lane),
        )
        for lane, rate in rates.items()
    )
    hours = options.hours if options.hours is not None or options.requests is not None else 1.0
    return Workload(streams, None if hours is None else round(hours * HOUR_MS), seed=options.seed)


def _of(told: dict[str, _T], lane: str) -> _T | None:
    return told.get(lane, told.get(""))


def _by_lane(name: str, told: Sequence[str], read: Callable[[object], _T], lanes: tuple[str, ...]) -> dict[str, _T]:
    """Return values such as `urgent=2/s` by lane; a value that names no lane is under the empty name."""
    found: dict[str, _T] = {}
    for text in told:
        lane, equals, value = text.partition("=")
        if not equals:
            lane, value = "", text
        try:
            if lane or name == "--rate":
                lane_among(lane, lanes)
            found[lane] = read(value.strip())
        except ValueError as error:
            raise SettingsError(ended(f"{name} {text}: {error}")) from error
    return found
