"""Benchmarks: each prints its figures and says on what they were measured. Nothing here is imported by the product."""
