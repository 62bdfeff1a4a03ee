"""The service's own store: one row a lead, with its result. SQLite here; any database with transactions will do.

Two rules make everything idempotent: a lead is added once, however often it comes, and an outcome is written only if no
later run of the same lead has been written. A conflict of ids is not the last word: the request that has the id may be
an earlier one of this service, in other words.
"""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Self

from lead_ingest.leads import Lead

_SCHEMA = """
CREATE TABLE IF NOT EXISTS leads (
    id INTEGER PRIMARY KEY, company TEXT NOT NULL, contact TEXT NOT NULL, language TEXT NOT NULL, note TEXT NOT NULL,
    urgent INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'asked', 'written', 'failed')),
    run INTEGER NOT NULL DEFAULT -1, copy TEXT, reason TEXT, message TEXT
);
CREATE INDEX IF NOT EXISTS leads_by_state ON leads (state, urgent DESC, id);
"""


class Store:
    """The leads in SQLite. One process at a time writes; `with` closes it."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = WAL;" + _SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, lead: Lead) -> bool:
        """Add a lead; return whether it is new. A known lead is not changed."""
        row = (lead.id, lead.company, lead.contact, lead.language, lead.note, lead.urgent)
        asked = "INSERT INTO leads (id, company, contact, language, note, urgent) VALUES (?, ?, ?, ?, ?, ?)"
        return self._db.execute(f"{asked} ON CONFLICT DO NOTHING", row).rowcount == 1

    def not_asked(self, limit: int) -> list[Lead]:
        """Return leads that have not been asked for, the urgent ones first."""
        found = self._db.execute(
            "SELECT id, company, contact, language, note, urgent FROM leads WHERE state = 'new'"
            " ORDER BY urgent DESC, id LIMIT ?",
            (limit,),
        )
        return [
            Lead(number, company, contact, language, note, urgent=bool(urgent))
            for number, company, contact, language, note, urgent in found
        ]

    def asked(self, lead_id: int) -> None:
        """Note that the request stands in Kafka. An outcome may have been faster."""
        self._db.execute("UPDATE leads SET state = 'asked' WHERE id = ? AND state = 'new'", (lead_id,))

    def written(self, lead_id: int, run: int, copy: str) -> bool:
        """Store the e-mail; return whether it was new."""
        return self._end(lead_id, run, "written", copy, None, None)

    def failed(self, lead_id: int, run: int, reason: str, message: str) -> bool:
        """Store the failure; return whether it was new."""
        return self._end(lead_id, run, "failed", None, reason, message)

    def _end(self, lead_id: int, run: int, *what: str | None) -> bool:
        changed = self._db.execute(
            "UPDATE leads SET state = ?, copy = ?, reason = ?, message = ?, run = ? WHERE id = ?"
            " AND (run < ? OR (run = ? AND reason = 'id_conflict' AND ? IS NOT 'id_conflict'))",
            (*what, run, lead_id, run, run, what[2]),
        )
        return changed.rowcount == 1

    def copy_of(self, lead_id: int) -> str | None:
        """Return the e-mail to a lead."""
        row = self._db.execute("SELECT copy FROM leads WHERE id = ?", (lead_id,)).fetchone()
        return None if row is None else row[0]

    def counts(self) -> Counter[str]:
        """Count leads by state."""
        return Counter(dict(self._db.execute("SELECT state, count(*) FROM leads GROUP BY state").fetchall()))

    def failures(self) -> list[tuple[int, str, str]]:
        """Return id, reason and message of the failed leads."""
        found = self._db.execute("SELECT id, reason, message FROM leads WHERE state = 'failed' ORDER BY id")
        return list(found.fetchall())
