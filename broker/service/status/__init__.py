"""State of a process as shown to people: status, health, the status of one request, failures and lags.

It reads the core and changes nothing.
"""
