"""The image as it will run in production: built, linted, filled with load and stopped, by `make image`.

It takes root and Debian's packages, so `make test` leaves this room out: that needs Python and make, and nothing else.
`build` prepares a machine and makes the image; the tests expect both.
"""
