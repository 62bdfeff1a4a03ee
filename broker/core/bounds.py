"""Named bounds of the core, those that depend on each other asserted together.

Constants of a single algorithm may stand in its own module instead. A bound without a name cannot be found at 3 a.m.
Times are whole milliseconds, sizes bytes.
"""

OUTCOMES_PER_TRANSACTION_MAX = 200
TRANSACTION_BYTES_MAX = 4 * 1024 * 1024
OUTCOME_BYTES_MAX = 1024 * 1024 - 64 * 1024
"""Maximum size of an outcome on a topic of 1 MiB: the difference is room for the key, the headers and the batch."""

LINGER_MS = 50
"""How long an outcome of any lane but the first may wait for others to share its transaction; one of the first lane
never waits. A transaction for calls that wait for the ledger line that announces them begins the same time after the
last one."""

NAMED_READ_MS = 100
"""How long after a commit that names records the next transaction waits for the line that strikes them off; reading 50
small records takes 15 ms."""

PROBE_EVERY_MS = 1_000
"""While calls are in flight, a transaction at least this often proves leadership and carries started attempts."""

STRIKES_MAX = 5
BLAMED_AFTER_MS = 3_600_000
"""How often (STRIKES_MAX) and for how long a decision must fail alone, each time with another commit in between, before
an error that may be chance is attributed to its content: while a partition of its topic has no leader, it looks the
same."""

DOUBT_REST_FIRST_MS = 5_000
DOUBT_REST_MAX_MS = 5 * 60_000
"""Rest of a decision that fails alone for no stated reason, or in every form: the first one, doubled each time up to
the maximum."""

STARTED_A_LINE_MAX = 4_000
"""Started attempts in one line of the ledger, and the same number of ended ones; the rest goes into the next line."""

LEAN_STARTED_MAX = 100
"""Started attempts in a lean line, if calls wait for it: two kilobytes."""

LEVELS_A_LINE_MAX = 60
"""Limits whose levels are in one line; if there are more, they take turns."""

LEVELS_BYTES_A_LINE_MAX = 192 * 1024
LEVEL_BYTES = 512
LEVEL_NAME_CHAR_BYTES = 12
SIDE_LEVEL_BYTES = 128
"""Size of a level in a line without its limit's name, of each character of that name, and of a level of input tokens or
images beside it: a producer may invent names of 256 characters outside of ASCII, and a JSON escape for one of those is
twelve bytes long."""

LEAN_MS = 60_000
"""How long the ledger's lines omit what can wait, once a transaction without any decision was refused."""

COMMIT_PATIENCE_MS = 4_000
"""No call starts while a commit has been under way for longer. A healthy one takes milliseconds, a slow one two
seconds; one that Kafka does not answer fails after ten, and calls made in that time are made again by the next
leader."""

CALL_RESERVE_BYTES = 64 * 1024
"""Bytes of `held_bytes_max` that a call reserves until its answer has arrived and its true size is known."""

RETRY_BACKOFF_FIRST_MS = 500
RETRY_BACKOFF_MAX_MS = 30_000
TIER_WAIT_MIN_MS = 1_000
"""The least wait after a refusal for want of the tier's capacity, however near the deadline is."""
THROTTLE_WAIT_DEFAULT_MS = 1_000
"""How long a limit rests after a 429 that states neither a wait nor a level."""

CREDIT_CHARGES_MAX = 4
"""Cap on what floors and ceilings owe, in multiples of the largest charge: idle time earns no burst."""

CALLS_REMEMBERED = 64
"""Number of recent call durations that predict whether a call would end within a drain."""

INHERITED_CALLS_MAX = 10_000
"""Number of dead leaders' calls remembered, to count those that are made again; a metric, so the oldest may go."""

RENEWALS_LOOKED_FOR_PARTS = 64
"""While requests are parked, a transaction at least every window / 64 carries the renewals of their ledger entries."""

PARTITION_GREED = 4
"""No partition holds more of its lane's buffer than this multiple of the free part: a fifth is left to the others."""

QUEUE_BLOCK_MAX = 256
"""Entries of one of the short lists that make up a tenant's queue."""

TENANTS_RESTING_MAX = 10_000
"""Tenants remembered in each lane for having had more than their share, while they have no waiting requests."""

TENANTS_CAPPED_SWEPT_ABOVE = 1_000
"""Number of capped tenants above which those that have taken nothing within the last minute are forgotten."""

DURATIONS_REMEMBERED = 256
"""Number of recent call durations that determine which requests are late."""

DURATIONS_RANKED_EVERY = 16
"""Number of calls after which the longest of the recent ones are determined again."""

REACH_EVERY_MS = 250
"""Interval between checks of a queue in which a request may be unable to meet its deadline; an arrival is checked at
once."""

LOOKS_SWEPT_ABOVE = 1_000
"""Empty queues are swept from the agenda of checks when it has twice the entries that the last sweep left, and this
many."""

NEARING_SWEPT_ABOVE = 100
"""Requests near their deadlines that no longer wait are swept once a lane has twice as many entries as the last sweep
left, and this many."""

DEADLINES_SWEPT_ABOVE = 1_000
"""Entries of settled tickets are swept from the deadline heap once they outnumber those of living ones by this
number."""

RECOMMIT_EVERY_MS = 3_600_000
"""Stored offsets of a group without members expire; every partition is stored again at least this often."""

TIERS_MAX = 64
"""Service tiers of a limit's models whose refusals are remembered at once; beyond these, each refused request waits by
itself. A producer can invent names of tiers."""

TIERS_TIMED_MAX = 8
"""Service tiers whose call durations are kept apart; OpenAI has seven."""

PROBES_LOOKED_AT = 64
"""Number of requests at the front of each lane that are examined for the cheapest probe."""

PROBES_SOUGHT = 500
"""Number of requests at the front of a lane that are searched for one that has not blamed the account, if the first 64
all have."""

HOLD_MIN_MS = 2_000
"""No request is parked for less: the way through Kafka and back takes about as long."""
HOLD_FIRST_MS = 15_000
HOLD_MAX_MS = 30 * 60_000
"""How long a breaker is expected to stay open: as long as it has been open already, but within these two."""
HOLD_TROUBLE_AFTER_MS = 10_000
"""A limit's own trouble parks no request before it has lasted this long: most of it is over by then."""
RETURN_BEFORE_DEADLINE_MS = 60_000
"""A parked request returns at least this long before its deadline, or at half of the time left if that is later."""
PARKS_AHEAD_MAX = 2 * OUTCOMES_PER_TRANSACTION_MAX
"""No request is parked while this many decisions wait for a commit: an outcome waits behind two transactions at
most."""
PUT_OFF_AT_ONCE_MAX = 1_000
"""Requests put off in one turn of the loop: because the process leaves, or because they may be deadly."""
HELD_LOOKED_AT = 256
"""Number of requests at the end of a queue that are examined for one that may be parked."""
CRAMPED_BELOW = 64
"""A partition whose map has room for fewer records is cramped: markers between records take room too."""

LIMITS_MAX = 1_000
"""Limits remembered at once, beside those that the settings name, which are never forgotten. A producer can invent
model names, and each unknown one is a limit of its own."""
LIMITS_RESTING_MAX = 2 * LIMITS_MAX
"""Below this number, limits at which a call must wait (for a pause, a breaker or a debt) are remembered too."""
LIMITS_LOOKED_AT = 8
"""Number of limits examined for one to forget, each time one is made, so that the cost does not grow with their
number."""

CANCEL_SLACK_MS = 60_000
"""A pending cancel also answers a record that is this much younger than itself: two clients' clocks may differ."""

CANCEL_PATIENCE_MS = 7 * 86_400_000
"""How long a cancel waits for its request, unless the lanes' deadlines are known to be shorter."""

OVERDUE_AFTER_MS = 15 * 60_000
"""How long after its deadline the copy of a parked request is still awaited. A copy is due before its deadline, and one
that comes late still gives its outcome tenant and metadata, and its dead letter the request. So a retrier that was away
for minutes (a roll-out, a back-off of five minutes between two crashes, a million failures read again) must not cost
those; and no outcome may wait for an operator."""
OVERDUE_MAX = 100
"""Maximum number of overdue requests failed in one transaction."""
OVERDUE_LOOKED_FOR_MS = 60_000
"""While requests are parked, a transaction at least this often fails those that are overdue."""
COPY_WITHIN_MS = 15 * 86_400_000
"""How long after its deadline the copy of a parked request can still come, unless retention is known to be shorter."""

DEATHS_BEFORE_CAUTION = 2
"""Number of terms in a row that must have died before records are named in the ledger ahead of being read."""
STANDS_A_CLAIM_MAX = 500
"""Maximum number of partitions whose position a claim states; only those with a known suspect need one. A partition
left out, whose suspect is therefore not struck off, is merely read with more caution than it needs."""
DEATHS_IN_A_ROW_WITHIN_MS = 600_000
"""Deaths further apart are not in a row. A platform waits up to five minutes before it starts a process that keeps
dying."""
CAUTIOUS_BATCH_MAX = 50
"""Records named together. Naming costs a commit, so 50 keep a cautious reader above 500 records/s on three nodes."""
DEATHS_BY_DECODING = 2
"""A record that was named alone when this many terms died is not decoded again."""
DEATHS_BY_TAKING = 3
"""A record that was named alone when one more term died is not even taken: unpacking it is deadly."""

DEATHS_UNSUSPECTED = 2
"""A request whose call was under way when this many terms died is a suspect: called alone, or a few at a time."""
DEATHS_BY_CALL = 3
"""A suspect whose call was under way when one more term died, with no other suspect's beside it, is not called
again."""
CALLS_OF_SUSPECTS_MAX = 16
"""Number of suspects called at once while there are more than that: at most this many must then be called alone."""
QUIET_MS = 10_000
"""A suspect is called this long after a promotion, and after the last record read with caution, at the earliest."""
PUT_OFF_MS = 1_000
"""A suspect that may not be called yet asks again after this time."""

CONTROL_BUFFER_MAX = 1_000
CONTROL_BUFFER_BYTES_MAX = 4 * 1024 * 1024
"""Bounds, in number and bytes, on cancels in memory that are not committed yet; each leaves with the next transaction
or two."""

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
