"""Intake of records: fetched, decoded, weighed, priced and handed to the core.

Each step handles one record, so that an exception ends that record's request alone.
"""
