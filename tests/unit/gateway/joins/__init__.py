"""Joins of repeated calls."""
