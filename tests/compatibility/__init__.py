"""What is said to work beside what the other tests run on: each row of the table in docs/operators.md is one test here.

Other Pythons, another Redis, another Kafka, producers that are not ours. `make compatibility` runs it, the default run
does not: it installs Debian packages and Python packages that a machine may not have. Nothing here tests behaviour that
does not depend on the other one's version; that belongs to the rooms beside.
"""
