"""Shutdown ladder of a dispatcher: each rung is bounded, and their sum is below the grace period.

Drain (calls that should end go on, their outcomes are published) → cancel what is left → commit what is settled → close
the producer → release the lease. A second signal skips the drain.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ladder:
    """Seconds of each rung."""

    drain_s: float
    cancel_s: float
    commit_s: float
    close_s: float
    release_s: float

    @property
    def sum_s(self) -> float:
        """Sum of all rungs."""
        return self.drain_s + self.cancel_s + self.commit_s + self.close_s + self.release_s


def ladder(grace_s: float) -> Ladder:
    """Return the rungs for a grace period: 20, 2, 3, 2 and 1 second of 30; a shorter one shortens the drain first.

    Raises:
        ValueError: Less than ten seconds leave no room for a drain.
    """
    if grace_s < 10:
        raise ValueError(f"a grace period of {grace_s} s is too short: at least 10 s")
    made = Ladder(
        drain_s=grace_s - 10 if grace_s < 30 else grace_s * 2 / 3, cancel_s=2, commit_s=3, close_s=2, release_s=1
    )
    assert made.sum_s < grace_s  # noqa: S101 — a bound asserted against its neighbour
    return made
