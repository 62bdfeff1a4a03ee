"""Reader of the control topic, whose records name requests to cancel.

Any client may write there, so nothing here raises for any bytes. A record that cannot be read becomes a dead letter and
never an outcome, since it asks for no answer: `undecodable` if it is not JSON within bounds, `invalid_request` if it is
JSON but not a cancel.
"""

from datetime import datetime

from headrace.broker.core.identity import pending_cancels as cancels
from headrace.broker.core.ticket import Garbage
from headrace.broker.service.intake.pricer import CRASHED, DEFECT
from headrace.schemas.bounded_json import Unreadable
from headrace.schemas.codec import WireError, decode_cancel
from headrace.schemas.control import Cancel
from headrace.schemas.ids import id_hash, tenant_mark
from headrace.schemas.record import Record
from headrace.schemas.request_codec import InputLimits, Undecodable, unread_request


class ControlReader:
    """Reader of the control topic's records, in the role that `Pricer` has for a lane."""

    def __init__(self, limits: InputLimits) -> None:
        """`limits` are the input bounds of a request; they apply to a cancel as well."""
        self._limits = limits

    def read(
        self, _lane: str, record: Record, submitted_at: datetime
    ) -> tuple[Cancel | Undecodable, cancels.CancelRecord | Garbage]:
        """Decode one record."""
        try:
            self._limits.parse(record.value)
        except Unreadable as reason:
            return Undecodable(str(reason)), Garbage(None, str(reason))
        try:
            cancel = decode_cancel(record.value, record.headers)
        except WireError as reason:
            return Undecodable(str(reason)), Garbage(None, str(reason), "invalid_request")
        mark = b"" if cancel.tenant is None else tenant_mark(cancel.tenant)
        return cancel, cancels.CancelRecord(id_hash(cancel.id), round(submitted_at.timestamp() * 1_000), mark)

    def unread(self, record: Record) -> tuple[Undecodable, Garbage]:
        """Return what is known of a record whose bytes must not be read again: nothing. No outcome is due for it."""
        return unread_request(record.headers, CRASHED), Garbage(None, CRASHED, "crashed")

    def defect(self, _record: Record) -> tuple[Undecodable, Garbage]:
        """Return what is known of a record for which `read` raised: no outcome is due for any id."""
        return Undecodable(DEFECT), Garbage(None, DEFECT, "crashed")
