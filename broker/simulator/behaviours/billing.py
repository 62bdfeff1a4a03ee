"""What answers say of their bill: cached input, writes to the cache, tokens of pictures, and the tier that served."""

from dataclasses import dataclass

from headrace.broker.simulator.behaviours.bounds import Behaviour, bounded, share


@dataclass(frozen=True, slots=True)
class PromptCache(Behaviour):
    """A cache of prompts: input that begins as an earlier call of the same model did is cached, in whole steps.

    `writes`: answers also state `cache_write_tokens`, the whole steps that were not cached. `kept` prefixes are
    remembered; the oldest are forgotten. Evidence: prefixes of at least 1,024 tokens in steps of 128 are documented;
    that writes are counted so is inferred.
    """

    least_tokens: int = bounded(1_024, 1, 1_000_000)
    step_tokens: int = bounded(128, 1, 100_000)
    kept: int = bounded(100_000, 1, 10_000_000)
    writes: bool = False


@dataclass(frozen=True, slots=True)
class PictureUsage(Behaviour):
    """Answers that count the input's tokens of pictures apart. Recorded of models that make pictures; else inferred."""


@dataclass(frozen=True, slots=True)
class OtherTier(Behaviour):
    """A share of the calls at one service tier that another tier serves, as answers then say.

    Evidence: documented for priority, which is served at the default tier where it rises too fast.
    """

    asked: str = "priority"
    served: str = "default"
    rate: float = share(0.5)
