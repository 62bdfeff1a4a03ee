"""The doors: each module here is the only one that touches its third party.

A door translates the third party's errors into `broker.errors` and its shapes into ours, and nothing else. It decides
nothing. `broker.service.compose` chooses doors; `broker.client` and `consumers` may open the kafka ones.
"""
