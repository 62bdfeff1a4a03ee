"""Where tokens and money go: sums over outcomes by hour, lane, model, tenant, template and tier, and what they tell.

Here belong sums, the sizes from which quantiles come, comparisons of periods, and the advice that follows from outcomes
and requests: pure functions and values. No Kafka, no clock, nothing of the core. Prices are found behind a door
(`headrace.broker.adapters.prices`). A dispatcher writes and reads its totals in `headrace.broker.service.spending`;
topics are read for a report in `headrace.broker.cli.report`.
"""
