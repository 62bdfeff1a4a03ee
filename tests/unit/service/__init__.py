"""The shells of the processes, on doubles and in virtual time."""
