"""What an operator may set, where each value came from, and the one sentence that says what is wrong with it.

`load` reads (file, environment, flags, in rising precedence), `whole` is what the rest of the broker is handed: frozen,
checked, never global. The groups are in modules of their own. Does not belong here: a bound nobody may change
(`broker.core.bounds`), a wire shape (`schemas`), anything that opens a connection. `broker.service.compose` and the
verbs of `broker.cli` load settings, everybody else is given them. This package itself imports nothing.
"""
