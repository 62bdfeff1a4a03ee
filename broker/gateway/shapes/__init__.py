"""OpenAI's HTTP shapes: bodies in, answers, errors and streams out. Pure: no I/O, no clock.

Here belongs what a byte of an answer looks like, given a record of Headrace's. When it is sent, and to which client, is
decided elsewhere in the gateway.
"""
