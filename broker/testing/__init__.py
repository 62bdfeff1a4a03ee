"""Doubles for our ports that pass the same contract suites as the real doors; shipped for our users' tests too.

Does not belong here: anything a running dispatcher needs.
"""
