"""What one key of a client stands for: a tenant, lanes, models, caps and defaults. The key's text is not in it."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

STANDARD: Final = "standard"
EVERY_MODEL: Final = ("*",)
WAIT_S: Final = 600.0
WAIT_MAX_S: Final = 3_600.0
OnDisconnect = Literal["keep", "cancel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey:
    """Rights and defaults of one key, by its name in the key file.

    Attributes:
        name: Name of the key for people; logs, metrics and caps have it.
        tenant: Stands in front of each of its ids, and shares the lanes' tokens by weight.
        lane: Lane of a call that names none.
        lanes: Every lane that it may use; `lane` is always among them.
        models: Patterns of the models that it may ask for.
        inflight_max: Calls that may wait at one replica; None: no cap of its own.
        requests_per_minute: Calls that one replica takes per minute; None: no cap of its own.
        deadline_s: Deadline of a call that names none; None: the lane's.
        wait_s: Longest time that an HTTP request waits for its outcome.
        on_disconnect: What becomes of a call whose client hangs up.
        template: Template of a call that names none.
    """

    name: str
    tenant: str
    lane: str = STANDARD
    lanes: tuple[str, ...] = ()
    models: tuple[str, ...] = EVERY_MODEL
    inflight_max: int | None = None
    requests_per_minute: int | None = None
    deadline_s: float | None = None
    wait_s: float = WAIT_S
    on_disconnect: OnDisconnect = "keep"
    template: str | None = None

    def __post_init__(self) -> None:
        """Put the default lane among the allowed ones."""
        object.__setattr__(self, "lanes", tuple(dict.fromkeys((self.lane, *self.lanes))))

    def may_use_lane(self, lane: str) -> bool:
        """Whether a call with this key may go onto `lane`."""
        return lane in self.lanes

    def may_use_model(self, model: str) -> bool:
        """Whether a call with this key may ask for `model`; upper and lower case differ, as at OpenAI."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)
