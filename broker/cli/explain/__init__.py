"""`headrace explain`: what an answer of OpenAI means, for a person with an error on the screen, or for a script.

Here belong how whatever was pasted becomes answers, and how a verdict is told. What an answer means is decided in
`broker.core`, the same code that the dispatcher runs. Nothing here reads settings, asks a service or loads anything
heavy: it must work on any machine, offline, at once.
"""
