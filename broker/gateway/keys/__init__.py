"""Keys of the gateway's clients: what each may do, the file of their hashes, and their caps.

Here belongs what happens between an `Authorization` header and a `ClientKey`. No HTTP, no Kafka: the server turns the
errors of this package into answers. A key in clear text exists in three places only: in a client's request, in the
memory of the call that hashes it, and once on the terminal on which it is made.
"""
