"""I/O shells of the processes: they wait, carry out the core's commands, and post the results back as events.

Belongs here: tasks, queues, timeouts, the shutdown ladder, the web page, and `compose`, the only module that chooses
doors. Does not belong here: any decision that the core could make. `headrace.broker.cli` starts the processes,
`headrace.broker.testing` assembles one from doubles, and `headrace.broker.planner` takes the core's configuration from
`core_config`; nothing else of the product imports it.
"""
