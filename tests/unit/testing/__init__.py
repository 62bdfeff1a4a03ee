"""The doubles, held to the contracts of the real doors."""
