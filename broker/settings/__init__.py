"""The settings: what an operator may set, the origin of each value, and one sentence for each mistake.

`load` reads (file, environment, flags, in rising precedence); `whole` has the object that the rest of the broker gets:
frozen, checked, never global. The groups are in modules of their own. Does not belong here: a bound that no setting
changes (`headrace.broker.core.bounds`), a wire shape (`schemas`), anything that opens a connection.
`headrace.broker.service.compose` and the verbs of `headrace.broker.cli` load settings; all other code is given them.
This package itself imports nothing.
"""
