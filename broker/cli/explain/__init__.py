"""`headrace explain`: says what an answer of OpenAI means, for a person with an error on the screen, or for a script.

This package turns pasted text into answers, and prints their verdicts. What an answer means is decided in
`headrace.broker.core`, the same code that the dispatcher runs. Nothing here reads settings, asks a service or loads
anything heavy: it must work on any machine, offline, at once.
"""
