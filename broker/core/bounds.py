"""Every bound of the core, in one place, each asserted against its neighbours.

A bound without a name is a bound nobody can find at 3 a.m. Times are whole milliseconds, sizes bytes.
"""

OUTCOMES_PER_TRANSACTION_MAX = 200
TRANSACTION_BYTES_MAX = 4 * 1024 * 1024
OUTCOME_BYTES_MAX = 1024 * 1024 - 64 * 1024
"""What an outcome may weigh on a topic of 1 MiB: the difference is room for the key, the headers and the batch."""

LINGER_MS = 50
"""How long an outcome of a patient lane may wait for company in its transaction; the first lane's never waits. As long
after the last transaction begins one for calls that wait for the line that says that they begin."""

NAMED_READ_MS = 100
"""How long after a commit that names records the next transaction waits for the line that strikes them off; reading
50 small records takes 15 ms."""

PROBE_EVERY_MS = 1_000
"""While calls are in flight a transaction at least this often proves leadership and carries started attempts."""

STRIKES_MAX = 5
BLAMED_AFTER_MS = 3_600_000
"""So often, and for so long, a decision must fail alone, each time with a commit of another in between, until an error
that may be chance is put down to its content: while a partition of its topic has no leader, it looks the same."""

DOUBT_REST_FIRST_MS = 5_000
DOUBT_REST_MAX_MS = 5 * 60_000
"""How long a decision rests that fails alone for no stated reason, or in every form; it doubles each time."""

STARTED_A_LINE_MAX = 4_000
"""Started attempts in one line of the ledger, and as many that ended; the rest stands in the next one."""

LEAN_STARTED_MAX = 100
"""Started attempts in a lean line, if calls wait for it: two kilobytes."""

LEVELS_A_LINE_MAX = 60
"""Limits whose levels stand in one line; where there are more, they take turns."""

LEVELS_BYTES_A_LINE_MAX = 192 * 1024
LEVEL_BYTES = 512
LEVEL_NAME_CHAR_BYTES = 12
"""What a level weighs in a line beside its limit's name, and each character of that: a producer may invent names of 256
characters outside of ASCII, and an escape of JSON for one of those is twelve bytes long."""

LEAN_MS = 60_000
"""How long the ledger's lines leave out what can wait, once a transaction without any decision was refused."""

COMMIT_PATIENCE_MS = 4_000
"""No call starts while a commit is under way for longer. A healthy one takes milliseconds, a slow one two seconds; one
that Kafka does not answer fails after ten, and what was called meanwhile is called again by whoever takes over."""

CALL_RESERVE_BYTES = 64 * 1024
"""What a call holds of `held_bytes_max` until its answer is there and its true size known."""

RETRY_BACKOFF_FIRST_MS = 500
RETRY_BACKOFF_MAX_MS = 30_000
THROTTLE_WAIT_DEFAULT_MS = 1_000
"""How long a limit rests after a 429 that states neither a wait nor a level."""

CREDIT_CHARGES_MAX = 4
"""What floors and ceilings owe never grows above so many charges: idle time earns no burst."""

CALLS_REMEMBERED = 64
"""How many recent call durations predict whether a call would end within a drain."""

INHERITED_CALLS_MAX = 10_000
"""How many calls of dead leaders are remembered, to count those that are made again; a metric, so the oldest may go."""

RENEWALS_LOOKED_FOR_PARTS = 64
"""While anything is parked, a transaction at least every window / 64 gives its renewals a line to stand in."""

PARTITION_GREED = 4
"""No partition holds more of its lane's buffer than so many times what is free: a fifth is left to the others."""

LINE_BLOCK_MAX = 256
"""Entries of one of the short lists that a line is made of."""

TENANTS_RESTING_MAX = 10_000
"""Tenants remembered in each lane for having had more than their share, while they have nobody waiting."""

TENANTS_CAPPED_SWEPT_ABOVE = 1_000
"""Capped tenants that have taken nothing within the last minute are forgotten above so many."""

DURATIONS_REMEMBERED = 256
"""How many recent call durations tell who is late."""

DURATIONS_RANKED_EVERY = 16
"""The longest of the recent calls are looked for again after so many."""

REACH_EVERY_MS = 250
"""A line in which somebody may be too late is looked over again after so long, and at once when somebody comes."""

LOOKS_SWEPT_ABOVE = 1_000
"""Lines in which nobody waits any more are forgotten above so many, once they outnumber the others."""

DEADLINES_SWEPT_ABOVE = 1_000
"""Entries of settled tickets are swept from the deadline heap once they outnumber the living by so many."""

RECOMMIT_EVERY_MS = 3_600_000
"""Stored offsets of a group without members expire; every partition is stored again at least this often."""

PROBES_LOOKED_AT = 64
"""How many in front of each lane are looked at for the cheapest probe."""

HOLD_MIN_MS = 2_000
"""Nobody is parked for less: the way through Kafka and back takes about as long."""
HOLD_FIRST_MS = 15_000
HOLD_MAX_MS = 30 * 60_000
"""How long a breaker is taken to stay open: as long as it has been open already, within these."""
HOLD_TROUBLE_AFTER_MS = 10_000
"""A limit's own trouble parks nobody before: most are over by then."""
RETURN_BEFORE_DEADLINE_MS = 60_000
"""A parked request is back so long before its deadline at least, or at half of what is left."""
PARKS_AHEAD_MAX = 2 * OUTCOMES_PER_TRANSACTION_MAX
"""Nobody is parked while so many decisions wait for a commit: an outcome waits behind two transactions at most."""
HELD_LOOKED_AT = 256
"""How many at the end of a line are looked at for one that may be parked."""
CRAMPED_BELOW = 64
"""A partition whose map has room for fewer records is cramped: markers between records take room too."""

LIMITS_MAX = 1_000
"""Limits remembered at once, beside those that the settings name, which are never forgotten. A producer can invent
model names, and each unknown one is a limit of its own."""
LIMITS_RESTING_MAX = 2 * LIMITS_MAX
"""Below so many, those are remembered too at which a call must wait: for a pause, a breaker or a debt."""
LIMITS_LOOKED_AT = 8
"""So many are looked at for one to forget, each time one is made: its cost does not grow with their number."""

CANCEL_SLACK_MS = 60_000
"""A cancel that waits answers a record this much younger than itself as well: two clients' clocks are not one."""

CANCEL_PATIENCE_MS = 7 * 86_400_000
"""How long a cancel waits for its request, unless the lanes' deadlines are known to be shorter."""

OVERDUE_AFTER_MS = 15 * 60_000
"""How long after its deadline the copy of a parked request is still waited for. A copy is due before its deadline, and
one that comes late still gives its outcome tenant and metadata, and its dead letter the request. So a retrier that was
away for minutes (a roll-out, a back-off of five minutes between two crashes, a million failures read again) must not
cost those; and no outcome may wait for an operator."""
OVERDUE_MAX = 100
"""As many overdue requests are failed in one transaction."""
OVERDUE_LOOKED_FOR_MS = 60_000
"""While anything is parked, a transaction at least this often fails what is overdue."""
COPY_WITHIN_MS = 15 * 86_400_000
"""How long after its deadline the copy of a parked request can still come, unless retention is known to be shorter."""

DEATHS_BEFORE_CAUTION = 2
"""Terms in a row that must have died before records are named in the ledger ahead of reading them."""
STANDS_A_CLAIM_MAX = 500
"""So many partitions a claim says where it stands in: of those alone in which a suspect is known. One whose suspect is
not struck off is read with more caution than it needs, and no more."""
DEATHS_IN_A_ROW_WITHIN_MS = 600_000
"""Deaths further apart are no row. A platform waits up to five minutes before it starts a process that keeps dying."""
CAUTIOUS_BATCH_MAX = 50
"""Records named together. Naming costs a commit, so 50 keep caution above 500 records/s on three nodes."""
DEATHS_BY_DECODING = 2
"""A record that was named alone when so many terms died is not decoded again."""
DEATHS_BY_TAKING = 3
"""And one that was named alone in one more is not even taken: unpacking it is deadly."""

DEATHS_UNSUSPECTED = 2
"""A request whose call was under way when so many terms died is a suspect: called alone, or a few at a time."""
DEATHS_BY_CALL = 3
"""And one whose call was so when one more died, with no other suspect's beside it, is not called again."""
CALLS_OF_SUSPECTS_MAX = 16
"""How many suspects are called at once while there are more of them: as many at most must then be called alone."""
QUIET_MS = 10_000
"""A suspect is called so long after a promotion, and after the last record read with caution, at the earliest."""
PUT_OFF_MS = 1_000
"""A suspect that may not be called yet asks again after so long."""

CONTROL_BUFFER_MAX = 1_000
CONTROL_BUFFER_BYTES_MAX = 4 * 1024 * 1024
"""Cancels in memory that are not committed yet; each leaves with the next transaction or two."""

assert OUTCOME_BYTES_MAX < TRANSACTION_BYTES_MAX
assert LEVELS_BYTES_A_LINE_MAX >= LEVELS_A_LINE_MAX * 4 * (LEVEL_BYTES + LEVEL_NAME_CHAR_BYTES * 24)
assert LEAN_STARTED_MAX < STARTED_A_LINE_MAX
assert LINGER_MS < PROBE_EVERY_MS < COMMIT_PATIENCE_MS
assert DOUBT_REST_FIRST_MS < DOUBT_REST_MAX_MS
assert DEATHS_BY_DECODING < DEATHS_BY_TAKING
assert DEATHS_UNSUSPECTED < DEATHS_BY_CALL
assert DURATIONS_RANKED_EVERY < DURATIONS_REMEMBERED
assert HOLD_MIN_MS < HOLD_FIRST_MS < HOLD_MAX_MS
assert RETRY_BACKOFF_FIRST_MS < RETRY_BACKOFF_MAX_MS
assert CANCEL_SLACK_MS < CANCEL_PATIENCE_MS
assert LIMITS_MAX < LIMITS_RESTING_MAX
assert OVERDUE_LOOKED_FOR_MS < OVERDUE_AFTER_MS < COPY_WITHIN_MS
assert OVERDUE_MAX <= OUTCOMES_PER_TRANSACTION_MAX
assert CONTROL_BUFFER_BYTES_MAX <= TRANSACTION_BYTES_MAX
