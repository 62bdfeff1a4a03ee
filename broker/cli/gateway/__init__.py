"""`headrace gateway`: serves the gateway, and makes, lists and checks the keys of its clients.

Here belong options and output. What a key is and how its file is read belongs to `headrace.broker.gateway.keys`.
"""
