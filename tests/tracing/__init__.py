"""Traces as a real OpenTelemetry Collector receives them: `make trace` plays a failover and prints the tree."""
