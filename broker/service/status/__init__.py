"""The state of a process for people: status, health, one request's whereabouts, failures and lags.

It reads the core and changes nothing.
"""
