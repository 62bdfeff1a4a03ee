"""The meaning of a server's answer: status, error body, rate-limit headers and messages.

`verdict` combines the results of the other modules. Nothing here knows of budgets or requests: bytes and headers in,
values out.
"""
