"""The tokens that a server charges for a call, and the law behind the charge.

`laws` computes the charge of each law; `tariff` holds the law that is believed, from the evidence that
`law_identification` and `debit_history` derive from the server's levels; `output_lengths` learns how long outputs are,
for the law that charges them when a call ends, and `uncapped_output` what an output without a cap is charged; `images`
counts the tokens of images. `references` are the ids by which a body names input that it does not show, and
`unshown_input` learns from bills how much that is.
"""
