"""`headrace status`: the leader, what waits and what is wrong; or one request, and why it waits.

This package finds a status (in Redis, or at a dispatcher itself), interprets it, and shows it as text or JSON. Nothing
here asks Kafka for records or reads a dispatcher's clock: all it knows is what was reported.
"""
