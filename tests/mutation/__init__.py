"""Mutation testing of the modules where a fault would lose, double or misdeliver an outcome.

    python -m tests.mutation [--only MODULE …] [--json FILE] [--again FILE]

A mutant is the product with one small change: a boundary moved, a condition negated, a statement removed. The unit and
property tests that reach the changed statement run on it. A mutant that none of them fails on survives; it stands in
`survivors.toml` with the reason why it may, or the run fails.

One process collects the tests once and forks for each mutant. The child replaces the code objects of the changed
function, so a mutant costs a fork and the tests up to the first failure. mutmut 3 names its mutants by path and number,
leaves out decorated functions and changes the texts of logs; cosmic-ray starts a process for each mutant (12 s here to
collect the tests alone). Neither keeps a list that outlives a moved module.

Nothing here is imported by the product or by other tests, except by its own in `tests/unit/mutation`.
"""
