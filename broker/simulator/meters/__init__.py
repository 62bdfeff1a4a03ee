"""One limit as a server may enforce it: a bucket that refills, or windows that are counted.

A meter knows one number of one metric, and takes instants as arguments. It knows no model, no header and no client. All
of them have the same methods: `refill`, `short_by_us`, `pay`, `drain`, `room`, `used`, `level`, `stated_wait_ms`,
`change`, `offered`. Only `limiter` and `rules` of the simulator, and tests, import them.
"""
