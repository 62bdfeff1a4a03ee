"""Facts of the outcomes that this leader published last, for questions about one request: instants, tokens, positions.

The results topic holds the outcomes themselves, and the ledger only whether there is one. So this is a convenience of
bounded size, which a successor begins anew. Nothing of a prompt, an answer or metadata is kept.
"""

from collections import OrderedDict
from typing import Any, Final

from headrace.broker.clock import WallClock
from headrace.broker.service.payloads import Payload
from headrace.schemas.ids import id_hash
from headrace.schemas.instants import to_wire
from headrace.schemas.request_codec import DecodedRequest

KEPT_MAX: Final = 10_000
_NAME_CHARS_MAX: Final = 100


class RecentOutcomes:
    """The outcomes published last, by the hashes of their ids."""

    def __init__(self, clock: WallClock) -> None:
        """None was published."""
        self._clock = clock
        self._kept: OrderedDict[tuple[bytes, int], dict[str, Any]] = OrderedDict()

    def record(self, cargo: Payload, status: str, reason: str | None) -> None:
        """Note a request's outcome, once it is committed."""
        if not isinstance(cargo.content, DecodedRequest):
            return
        known, usage, place = cargo.content, cargo.usage, cargo.source.partition
        self._kept[id_hash(known.request.id), known.run] = {
            "status": status,
            "reason": reason,
            "at": to_wire(self._clock.utc_now()),
            "submitted_at": to_wire(cargo.submitted_at),
            "lane": place.lane,
            "model": str(known.request.model or "")[:_NAME_CHARS_MAX],
            "template": None if known.request.template is None else known.request.template[:_NAME_CHARS_MAX],
            "calls": known.calls_before + cargo.calls,
            "charge_tokens": cargo.charge,
            "input_tokens": None if usage is None else usage.input_tokens,
            "output_tokens": None if usage is None else usage.output_tokens,
            "micro_usd": None if cargo.cost is None else cargo.cost.micro_usd,
            "origin": f"{cargo.topic}/{place.number}/{cargo.source.offset}",
            "upstream_request_id": cargo.upstream_request_id,
        }
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def of(self, hashed: bytes, run: int) -> dict[str, Any]:
        """Return what is known of an outcome; empty: another leader published it, or many others came since."""
        return dict(self._kept.get((hashed, run), {}))
