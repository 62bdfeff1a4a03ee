"""Requests that were answered more than once under different ids, found by the digest of endpoint and body."""

from dataclasses import dataclass
from typing import Final

from headrace.broker.spending.advice.groups import CallSums, OutcomeGroup
from headrace.broker.spending.advice.sampling import HASH_MAX, hash_of
from headrace.schemas.spending import AdvisedOutcome

DIGESTS_MAX: Final = 65_536
"""Digests followed at once. Beyond it those with the larger hashes go, and the rest stands for all."""
_DIGEST_CHARS_MAX: Final = 64


@dataclass(slots=True)
class _FurtherAnswers:
    """Further answers to one digest, beside the first id's."""

    first_id: int
    group: tuple[str | None, str]
    further: CallSums | None = None


class DuplicateBook:
    """Counts repeated answers of a share of all digests, the same share of every group."""

    def __init__(self, digests_max: int = DIGESTS_MAX) -> None:
        self._digests_max = digests_max
        self._below = HASH_MAX
        self._by_digest: dict[int, _FurtherAnswers] = {}

    @property
    def share(self) -> float:
        """The share of all digests that is followed."""
        return self._below / HASH_MAX

    def add(self, outcome: AdvisedOutcome, id_hash: int, group: OutcomeGroup) -> None:
        """Count an answered outcome, if its digest is one of those followed."""
        if outcome.usage is None or not outcome.request_digest:
            return
        digest = hash_of(outcome.request_digest[:_DIGEST_CHARS_MAX])
        if digest >= self._below:
            return
        known = self._by_digest.get(digest)
        if known is None:
            self._by_digest[digest] = _FurtherAnswers(id_hash, (group.template, group.model))
            if len(self._by_digest) > self._digests_max:
                self._thin_out()
        elif known.first_id != id_hash:
            if known.further is None:
                known.further = CallSums()
            known.further.add_usage(outcome.usage, outcome.cost)

    def by_group(self) -> dict[tuple[str | None, str], tuple[int, CallSums]]:
        """Return for each group how many digests were answered again, and the sums of those further answers."""
        found: dict[tuple[str | None, str], tuple[int, CallSums]] = {}
        for repeats in self._by_digest.values():
            if repeats.further is None:
                continue
            count, sums = found.get(repeats.group, (0, CallSums()))
            sums.add_usages(repeats.further)
            found[repeats.group] = (count + 1, sums)
        return found

    def _thin_out(self) -> None:
        self._below //= 2
        self._by_digest = {digest: known for digest, known in self._by_digest.items() if digest < self._below}
