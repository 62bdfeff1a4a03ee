"""The rows: the behaviours, the number of calls and the promises."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from headrace.broker.simulator.behaviours.bounds import Behaviour
from headrace.broker.simulator.behaviours.catalogue import parsed
from headrace.broker.simulator.settings import UpstreamSettings

TOKENS_PER_MINUTE: Final = 330_000
REQUESTS_PER_MINUTE: Final = 30_000
CALLS: Final = 5_500  # of a row in virtual time: some four minutes of it
SEED: Final = 7
FIRST_S: Final = 60.0  # what is shown as the phase in which a hidden law is found out


class Way(StrEnum):
    """How the dispatcher's calls travel. The rivals' always do in virtual time."""

    HTTP = "HTTP"
    VIRTUAL = "virtual"


@dataclass(frozen=True, slots=True)
class Promise:
    """At least a share of the ideal, at most a number of 429s per 1,000 calls; `after` the first minute, or of all."""

    share_min: float
    refused_max: float
    after: bool


DESCRIBED: Final = Promise(0.98, 1.0, after=False)
HIDDEN: Final = Promise(0.93, 5.0, after=True)
SHARED: Final = Promise(0.95, 10.0, after=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour.

    Attributes:
        name: Of the row; of the behaviour too, if it plays just one.
        plays: Behaviours as `headrace upstream --behaviour` takes them.
        promise: None where nothing is promised.
        calls: The number of calls, at most if there are `windows`: then no more than that number of minutes holds, so
            that no window is begun in which the ideal is charged at once what Headrace is charged in a minute.
        models: How many models they are for.
        first_s: The length of the first phase, which is shown apart.
        cap_tokens_per_minute: The operator's own cap, which the rivals do not know.
        refused: The number of further calls for a service tier that refuses each, before the others.
        conversations: The number of conversations whose turns the calls are, in the Responses API: each turn names the
            response before it, and is charged for all that was said; 0: each call is a chat of its own.
    """

    name: str
    plays: tuple[str, ...]
    promise: Promise | None
    way: Way = Way.VIRTUAL
    calls: int = CALLS
    models: int = 1
    first_s: float = FIRST_S
    tokens_per_minute: int = TOKENS_PER_MINUTE
    requests_per_minute: int = REQUESTS_PER_MINUTE
    latency_s: tuple[float, float] = (1.0, 4.0)
    inflight_max: int = 512
    windows: int | None = None
    cap_tokens_per_minute: int | None = None
    refused: int = 0
    conversations: int = 0

    def virtual(self) -> "Row":
        """Return the same row in virtual time, and as long as those rows are."""
        if self.way is Way.VIRTUAL:
            return self
        return replace(self, way=Way.VIRTUAL, calls=CALLS, first_s=FIRST_S)

    def behaviours(self) -> tuple[Behaviour, ...]:
        """Return the behaviours."""
        return tuple(parsed(text) for text in self.plays)

    def upstream(self) -> UpstreamSettings:
        """Return the settings of this row's simulated OpenAI."""
        return UpstreamSettings(
            tokens_per_minute=self.tokens_per_minute,
            requests_per_minute=self.requests_per_minute,
            latency_s=self.latency_s,
            behaviours=self.behaviours(),
            seed=SEED,
        )


def _over_http(name: str, promise: Promise, calls: int, *, tokens_per_minute: int = TOKENS_PER_MINUTE) -> Row:
    """Make a row over HTTP: some 75 s of it."""
    return Row(name, (name,), promise, Way.HTTP, calls, first_s=30.0, tokens_per_minute=tokens_per_minute)


_SHORT_BUCKET: Final = (
    "window:kind=bucket,counts=tokens,seconds=60",
    "window:kind=bucket,counts=tokens,seconds=6",
    "headers-show:window=mixed",
    "refusals-state:numbers=minute,wait=exact",
)
_BOUND: Final = _over_http("request-bound", DESCRIBED, 2_400, tokens_per_minute=990_000)

ROWS: Final = (
    _over_http("bucket", DESCRIBED, 2_500),
    _over_http("bucket-6s", DESCRIBED, 2_000, tokens_per_minute=440_000),
    _over_http("bucket-1s", DESCRIBED, 2_000, tokens_per_minute=440_000),
    replace(_BOUND, plays=("request-bound:requests_per_minute=1100",)),
    replace(_over_http("shared-limit", DESCRIBED, 2_500), models=2),
    _over_http("limit-halved", DESCRIBED, 2_000),
    Row("limit-doubled", ("limit-doubled",), DESCRIBED),
    Row("latency-wide", ("latency-wide",), DESCRIBED, inflight_max=2_000),
    _over_http("hidden-bucket-6s", HIDDEN, 2_000, tokens_per_minute=440_000),
    Row("hidden-bucket-1s", ("hidden-bucket-1s",), HIDDEN),
    Row("fixed-window", ("fixed-window",), HIDDEN, calls=6_000, windows=5, first_s=59.0),
    Row("sliding-window", ("sliding-window",), HIDDEN, calls=6_000, windows=5, first_s=59.0),
    _over_http("headers-none", HIDDEN, 2_500),
    Row("quantised-6s", ("quantised-6s",), HIDDEN),
    Row("quantised-1s", ("quantised-1s",), HIDDEN),
    Row("sliding-approximate", ("sliding-approximate",), HIDDEN),
    Row("foreign", ("foreign",), SHARED, tokens_per_minute=643_000),
    Row("foreign-insisting", ("foreign-insisting",), SHARED, tokens_per_minute=643_000),
    Row("law-chat-legacy", ("law-chat-legacy",), None, tokens_per_minute=660_000),
    Row("law-change", ("law-change",), None, tokens_per_minute=660_000),
    Row("project-limits", ("project-limits",), DESCRIBED, tokens_per_minute=660_000),
    Row("own-cap", ("bucket",), DESCRIBED, tokens_per_minute=660_000, cap_tokens_per_minute=330_000),
    Row("short-bucket-minute-headers", _SHORT_BUCKET, Promise(0.96, 5.0, after=True), tokens_per_minute=440_000),
    Row("flex-refused", ("flex-refused",), DESCRIBED, refused=300),
    Row("carried-input", ("bucket",), DESCRIBED, calls=2_700, conversations=450),
)
