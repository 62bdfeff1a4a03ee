"""The lease as the retrier sees it.

A Protocol between two packages of ours: `consumers` may import nothing of `headrace.broker.service`, which holds the
lease.
"""

from typing import Protocol


class Tenure(Protocol):
    """Lease while it is held, for a process that has no ledger to prove its leadership by."""

    @property
    def is_over(self) -> bool:
        """Whether another process leads, or this one leaves: end what is under way, and return."""

    @property
    def is_trusted(self) -> bool:
        """Whether a transaction may begin now: the lease holds, and the wall clock may be relied on."""

    async def still_mine(self) -> bool:
        """Ask Redis for the lease; no answer counts as no."""

    def leads(self, term: int) -> None:
        """Note that the claim of this term is committed."""

    def published(self) -> None:
        """Note that records were committed: nothing is left that an operator must repair."""
