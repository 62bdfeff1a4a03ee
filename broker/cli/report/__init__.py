"""`headrace report`: where tokens and money went, from outcomes or from hourly totals, as table, JSON, CSV and picture.

Here belong the verb, the reading of topics and what is printed. Sums and comparisons are in `headrace.broker.spending`,
prices in `headrace.broker.adapters.prices`.
"""
