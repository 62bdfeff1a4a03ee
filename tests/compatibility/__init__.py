"""What is said to work beside what the other tests run on: the rows of the table in docs/operators.md, run.

Other Pythons, another Redis, another Kafka, producers that are not ours. `make compatibility` runs it, before a release
and after a change of a dependency or a door; the default run and `.ci/run` do not: for minutes it installs Debian
packages and Python packages that a machine may not have. Nothing here tests behaviour that does not depend on the other
one's version; that belongs to the rooms beside.
"""
