"""Scripts that measure: each prints its figures and says on what. Nothing here is imported by the product."""
