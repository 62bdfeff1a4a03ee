"""Spans of a dispatcher's requests: what is noted of each request, and when its spans are handed over.

It observes and decides nothing: the core knows no trace. Which names leave is in `headrace.broker.observability.spans`,
how they leave behind the port `headrace.broker.span_ports`. Without tracing nothing here is made.
"""
