"""The tokens that a server charges for a call, and the law behind the charge.

`laws` computes the charge of each law; `tariff` holds the law that is believed, from the evidence that
`law_identification` and `debit_history` derive from the server's levels; `output_lengths` learns how long outputs are,
for the law that charges them when a call ends; `images` counts the tokens of images.
"""
