"""The one door to genai-prices: what a call costs, by the library's list and the operator's file over it.

`listed` alone imports the library, which takes a quarter of a second and 23 MB; so a process that needs no prices does
not load it. `rates` is the arithmetic, `price_file` the operator's file, `price_list` puts them together. Sums of costs
are in `headrace.broker.spending`; which outcome has a cost is decided in `headrace.broker.service.publishing`.
"""
