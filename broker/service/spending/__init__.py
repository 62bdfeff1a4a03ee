"""Sums over outcomes in a dispatcher: written with the outcomes by the leader, read back by every process.

Here belong the state of the totals topic, what a leader adds to its transactions, and the follower of the topic with
what `/status` shows of it. The sums themselves, and why they are right, are in `headrace.broker.spending`; metrics of
tokens and cost in `headrace.broker.service.metrics`. No price is found here, and no outcome made.
"""
