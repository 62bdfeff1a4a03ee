"""Metrics and logs of a process: watches commands and answers, changes nothing, never raises."""
