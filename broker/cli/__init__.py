"""The console script `headrace`: one module a verb.

A verb parses options, calls one service or library function and prints. It decides nothing about requests.
Errors are one sentence that says what to do; exit codes: 0 done, 1 done with failures, 2 usage, 3 unreachable.
"""
