"""The console script `headrace`: one module or one package for each verb.

A verb parses its options, calls one function of the service or the library, and prints. It makes no decision about
requests. An error is one sentence that says what to do. Exit codes: 0 done, 1 done with failures, 2 usage, 3
unreachable.
"""
