"""Input that bodies do not show: how many tokens their references carry, learned from what was billed.

The *surplus* of a call is its billed input, less what its body was predicted to hold. It is priced in this order:

1. What a response carries is known from its own bill: its input and its output, without what it reasoned, which is not
   read again. The same holds for a conversation, whose latest bill counts. What each request repeats (instructions and
   tools) is in the bill of the former response and again in the next request; so the *shift* between the surplus and
   the bill before is kept along a chain of responses. The first link takes what others have shown. A link that is out
   of proportion, because one of the two bills is absurd or its body was mispriced, leaves the shift as it is.
2. A stored prompt, a file or a tool has the surplus of its own calls: mean and mean deviation, the last eight weighing
   most. What several references of one call carried together is split by what they were expected to carry.
3. One that was never billed costs what its kind has cost at this limit, mean and deviation; at first `FIRST_TOKENS`.

An estimate takes no single figure at its word: it grows by a factor of four at most. Only the first bill of a file or
an item, and what a response was billed, are believed as they are; that of a prompt or a tool, which many requests name,
counts for what its kind may grow to. So one absurd bill leaves the requests of others alone; and an id
whose second bill is less than a quarter of its first, or whose last two are less than a quarter of its estimate, is
known by the last one alone: an absurd first bill is paid once.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from headrace.broker.core.pricing.laws import PRICE_MAX
from headrace.broker.core.pricing.references import Reference, ReferenceKind
from headrace.broker.core.pricing.surplus import GROWTH_MAX, STEP_TOKENS, Surplus, grown
from headrace.broker.core.value import value

CARRIED_MAX: Final = 32_768  # responses and conversations whose bill is remembered: some 10 MB, for all limits
LEARNED_MAX: Final = 4_096  # prompts, files and tools with a surplus of their own
KIND_MEMORY: Final = 32  # of the figures of a kind; a reference of its own has the usual memory
SHIFT_STEP_TOKENS: Final = 8_000  # likewise the shift of a first link: the instructions and tools of most applications
CHANGED_PARTS: Final = 4  # an estimate that changes by more than one part in this many reprices the calls sent

FIRST_TOKENS: Final[Mapping[ReferenceKind, int]] = {
    ReferenceKind.RESPONSE: 2_000,
    ReferenceKind.CONVERSATION: 2_000,
    ReferenceKind.PROMPT: 1_000,
    ReferenceKind.FILE: 4_000,
    ReferenceKind.IMAGE: 0,
    ReferenceKind.ITEM: 200,
    ReferenceKind.TOOL: 2_000,
}
"""Tokens of the first references of a kind: some pages of text. Too few cost a refusal, too many are given back by the
next answer."""
_SHARED: Final = frozenset({ReferenceKind.TOOL, ReferenceKind.PROMPT})
"""Kinds whose ids requests of many tenants name: the first bill of an id would be paid by all of them."""
_CARRYING: Final = frozenset({ReferenceKind.RESPONSE, ReferenceKind.CONVERSATION})


@value
class Bill:
    """What a later request carries that names an answer.

    Attributes:
        kept: Billed tokens of its input and output, without what it reasoned.
        mark: Under which it may be named; empty: it cannot be.
    """

    kept: int
    mark: bytes = b""


class KnownReferences:
    """What single references carried, of all limits; the least recently used are forgotten."""

    def __init__(self, *, carried_max: int = CARRIED_MAX, learned_max: int = LEARNED_MAX) -> None:
        self._carried_max, self._learned_max = carried_max, learned_max
        self._carried: OrderedDict[Reference, tuple[int, int]] = OrderedDict()
        self._learned: OrderedDict[Reference, Surplus] = OrderedDict()

    def __len__(self) -> int:
        return len(self._carried) + len(self._learned)

    def carried(self, reference: Reference) -> tuple[int, int] | None:
        """Return the bill that a response or conversation carries, and its shift; None: not known."""
        known = self._carried.get(reference)
        if known is not None:
            self._carried.move_to_end(reference)
        return known

    def learned(self, reference: Reference) -> Surplus | None:
        """Return the surplus of a prompt, file or tool; None: not known."""
        known = self._learned.get(reference)
        if known is not None:
            self._learned.move_to_end(reference)
        return known

    def carry(self, reference: Reference, tokens: int, shift: int) -> None:
        """Remember the bill of a response or conversation."""
        self._carried[reference] = tokens, shift
        self._carried.move_to_end(reference)
        if len(self._carried) > self._carried_max:
            self._carried.popitem(last=False)

    def learn(self, reference: Reference, tokens: int) -> Surplus:
        """Add to the surplus of a prompt, file or tool, and return it."""
        known = self._learned.get(reference)
        if known is None:
            known = self._learned[reference] = Surplus()
        known.learn(tokens)
        if len(self._learned) > self._learned_max:
            self._learned.popitem(last=False)
        return known


class UnshownInput:
    """Unshown input of one limit's calls.

    Attributes:
        changes: The number of times that an estimate has changed by more than one part in `CHANGED_PARTS`.
    """

    def __init__(self, known: KnownReferences | None = None, inherited: Mapping[str, int] | None = None) -> None:
        """`known` is shared by all limits; `inherited` is what each kind cost a predecessor."""
        self._known = KnownReferences() if known is None else known
        self._of_kind: dict[ReferenceKind, Surplus] = {}
        self._shift: Surplus | None = None  # made when it is needed: there may be thousands of limits
        self.changes = 0
        for kind, tokens in ({} if inherited is None else inherited).items():
            if kind in FIRST_TOKENS:
                self._of(ReferenceKind(kind)).add(max(0, min(PRICE_MAX, tokens)))

    def estimate(self, references: Sequence[Reference]) -> int:
        """Return the tokens to expect beside what a body shows."""
        return min(PRICE_MAX, sum([self._expected(reference) for reference in references]))

    def by_kind(self) -> dict[str, int]:
        """Return what a successor may believe of each kind; what single ids carry is not handed on."""
        return {kind.value: surplus.tokens for kind, surplus in self._of_kind.items()}

    def record_answer(self, references: Sequence[Reference], surplus: int, bill: Bill) -> None:
        """Learn from a bill; `surplus` is negative where less input was billed than the body seemed to hold."""
        parents = [each for each in references if each.kind in _CARRYING]
        parent = self._known.carried(parents[0]) if parents else None
        shift = parent[1] if parent is not None else 0 if self._shift is None else self._shift.tokens
        if parent is not None and len(references) == 1 and _in_proportion(parent[0], surplus, bill.kept):
            shift = surplus - parent[0]
            self._learn_shift(shift)
        if references:
            self._learn(references, max(0, min(PRICE_MAX, surplus)))
        heirs = [each for each in parents if each.kind is ReferenceKind.CONVERSATION]
        if bill.mark:
            heirs.append(Reference(ReferenceKind.RESPONSE, bill.mark))
        for heir in heirs:
            self._known.carry(heir, min(PRICE_MAX, bill.kept), shift)

    def record_stated(self, references: Sequence[Reference], surplus: int) -> None:
        """Learn from the server's own charge for a refused call, of which `surplus` is what its body does not show."""
        if len(references) == 1 and (parent := self._known.carried(references[0])) is not None:
            before, carried = self._expected(references[0]), min(surplus - parent[1], grown(parent[0]))
            self._known.carry(references[0], max(0, carried), parent[1])
            self.changes += _differs(self._expected(references[0]), before)
        self._learn(references, max(0, min(PRICE_MAX, surplus)))

    def _learn(self, references: Sequence[Reference], surplus: int) -> None:
        """Split a call's surplus among its references.

        Those never billed before take what the others leave; else prompts, files and tools share what differs from the
        expectation. Where all are known responses and conversations, only their kinds learn.
        """
        expected = {reference: self._expected(reference) for reference in references}
        left = surplus - sum(expected.values())
        own = {each: self._known.learned(each) for each in references if each.kind not in _CARRYING}
        carried = {each for each in references if each.kind in _CARRYING and self._known.carried(each) is not None}
        taught = [each for each in references if each not in carried and own.get(each) is None]
        taught = taught or [each for each in references if each not in carried] or [*references]
        for reference in taught:
            before = expected[reference]
            tokens = max(0, before + left // len(taught))
            if reference not in carried:
                if reference.kind in _CARRYING:
                    self._known.carry(reference, tokens, 0)
                    self.changes += _differs(tokens, before)
                else:
                    shared = reference.kind in _SHARED and own[reference] is None
                    known = self._known.learn(reference, min(tokens, grown(before)) if shared else tokens)
                    self._note(known, before)
            self._learn_kind(reference.kind, tokens)

    def _learn_shift(self, shift: int) -> None:
        self._shift = Surplus() if self._shift is None else self._shift
        most = GROWTH_MAX * abs(self._shift.tokens) + SHIFT_STEP_TOKENS
        self._shift.add(max(-most, min(most, shift)))

    def _learn_kind(self, kind: ReferenceKind, tokens: int) -> None:
        before = self._unknown(kind)
        of_kind = self._of(kind)
        of_kind.add(min(tokens, grown(before)))
        self._note(of_kind, before)

    def _expected(self, reference: Reference) -> int:
        if reference.kind in _CARRYING:
            carried = self._known.carried(reference)
            return self._unknown(reference.kind) if carried is None else max(0, sum(carried))
        known = self._known.learned(reference)
        return self._unknown(reference.kind) if known is None else known.tokens

    def _of(self, kind: ReferenceKind) -> Surplus:
        """Return the surplus of a kind, made if it is the first of it."""
        return self._of_kind.get(kind) or self._of_kind.setdefault(kind, Surplus(KIND_MEMORY))

    def _unknown(self, kind: ReferenceKind) -> int:
        of_kind = self._of_kind.get(kind)
        return FIRST_TOKENS[kind] if of_kind is None else of_kind.tokens

    def _note(self, estimate: Surplus, before: int) -> None:
        """Count a change since the last one that counted: small steps add up. A first estimate replaces `before`."""
        noted = before if estimate.noted is None else estimate.noted
        is_changed = _differs(estimate.tokens, noted)
        estimate.noted = estimate.tokens if is_changed else noted
        self.changes += is_changed


def _differs(tokens: int, before: int) -> bool:
    """Return whether calls priced by an estimate of `before` should be priced again."""
    return abs(tokens - before) * CHANGED_PARTS > max(before, STEP_TOKENS)


def _in_proportion(former: int, surplus: int, kept: int) -> bool:
    """Return whether a call that named a response, billed `former`, and what it was billed show how the two relate.

    Its body was mispriced if nothing is left for the response. What a response carries is in the bill of the next one,
    and can be little more than its own.
    """
    return 0 <= surplus <= grown(former) and former <= grown(kept)
