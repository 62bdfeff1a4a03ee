"""The gateway as its clients see it: real SDKs, load, kills and hostile HTTP against real processes.

`rig` starts them. What takes long has targets of its own (`make help`); the rest runs in CI.
"""
