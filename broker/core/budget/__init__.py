"""The tokens and requests of one limit: how many are left, and when a call can be paid.

`budget` is the only entry point; `calibration` is what it learns from answers. Mirrors follow the server's buckets from
its headers and refusals: `bucket_mirror` one that refills continuously, `fixed_window`, `sliding_window` and
`two_counters` the others, once `shown_buckets` has told which it is; where no header does, `unshown_window` finds out.
`burst_control`, `burst_ramp`, `cooldown`, `opening` and the breakers decide how fast the tokens that a mirror shows are
spent.

Where what a server says contradicts what it does, calls are sent at a rate that is measured instead: `admission_guide`
chooses between the mirrors and `rate_control`; `mirror_trust` judges them in a `trial`, by their `achievement`. A rate
has a `pace`; `throughput`, `span_caps` and `hold` are what it learns, and `stated_waits` what it believes.
"""
