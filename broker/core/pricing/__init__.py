"""The tokens that a server charges for a call, and by which law.

`laws` computes the charge of each law; `tariff` says which law is believed, from what `law_identification` and
`debit_history` read off the server's levels; `images` counts the tokens of pictures.
"""
