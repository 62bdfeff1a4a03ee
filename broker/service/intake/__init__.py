"""Intake of records: fetched, decoded, weighed, priced and handed to the core.

Each step handles one record, so that an exception ends that record's request alone. `lane_intake` takes from Kafka,
`cautious_intake` where a record may have ended former leaders; `entry` reads, `pricer` prices, `handover` posts.
"""
