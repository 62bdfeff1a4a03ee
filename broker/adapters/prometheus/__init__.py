"""Metrics through prometheus_client, the only package that imports it."""
