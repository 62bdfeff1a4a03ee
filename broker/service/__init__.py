"""The processes' shells: they wait, carry out the core's commands, and post what happened back as events.

Belongs here: tasks, queues, time-outs, the shutdown ladder, the web page, and `compose`, the only chooser of doors.
Does not belong here: any decision that the core could make. Only `broker.cli` imports it.
"""
