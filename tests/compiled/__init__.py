"""The core as mypyc compiles it, held against the interpreted one by `make compiled`.

It takes a C compiler and some minutes, so `make test` leaves this room out. `build` compiles; the tests expect that.
"""
