"""HTTP side of the gateway, on aiohttp: routes, middlewares, connections, and what is written to a client.

Here belongs what knows of sockets, time-outs and headers. What a body means is decided by `shapes`, what becomes of a
call by `calls`.
"""
