"""Checks before a process starts: Kafka, its topics, its settings and rights, and Redis."""
