"""The tokens that a server charges for a call, and the law behind the charge.

`laws` computes the charge of each law; `tariff` holds the law that is believed, from the evidence that
`law_identification` and `debit_history` derive from the server's levels; `images` counts the tokens of images.
"""
