"""`headrace status`: one look at who leads, what waits, and what is wrong; or at one request, and why it waits.

Here belong where a status is found (Redis, or a dispatcher itself), what it means, and how a person and a machine are
shown it. Nothing here asks Kafka for records or reads a clock of the dispatcher's: all it knows is what was reported.
"""
