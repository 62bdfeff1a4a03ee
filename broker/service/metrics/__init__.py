"""Metrics and logs of a process; they observe commands and answers, change nothing, and never raise."""
