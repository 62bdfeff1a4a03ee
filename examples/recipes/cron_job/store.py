"""What the jobs know of each lead: whether it was requested, and its result. SQLite; any database will do."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Self

_SCHEMA = """
CREATE TABLE IF NOT EXISTS leads (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('requested', 'written', 'failed')),
    run INTEGER NOT NULL DEFAULT -1, email TEXT, reason TEXT
);
"""


class Store:
    """One row for each lead that Kafka has taken or that has an outcome; `with` closes it."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def knows(self, lead_id: str) -> bool:
        """Whether the lead needs no request."""
        return self._db.execute("SELECT 1 FROM leads WHERE id = ?", (lead_id,)).fetchone() is not None

    def requested(self, lead_id: str) -> None:
        """Note that Kafka has the request. An outcome may have been faster."""
        self._db.execute("INSERT INTO leads (id, state) VALUES (?, 'requested') ON CONFLICT DO NOTHING", (lead_id,))

    def ended(self, lead_id: str, run: int, *, email: str | None, reason: str | None) -> bool:
        """Store a result, unless the same or a later run has one; return whether it was new."""
        state = "written" if email is not None else "failed"
        changed = self._db.execute(
            "INSERT INTO leads (id, state, run, email, reason) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET state = excluded.state, run = excluded.run, email = excluded.email,"
            " reason = excluded.reason WHERE leads.run < excluded.run OR leads.reason = 'id_conflict'",
            (lead_id, state, run, email, reason),
        )
        return changed.rowcount == 1

    def counts(self) -> Counter[str]:
        """Count leads by state."""
        return Counter(dict(self._db.execute("SELECT state, count(*) FROM leads GROUP BY state").fetchall()))

    def emails(self) -> dict[str, str]:
        """Return the e-mails by lead."""
        return dict(self._db.execute("SELECT id, email FROM leads WHERE state = 'written' ORDER BY id").fetchall())
