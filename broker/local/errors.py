"""Errors of the local pair, for their only reader: a person at a terminal.

LocalServicesError says in one sentence what happened and what to do; `exit_code` is the one of `headrace.broker.cli`
(2: the call or the installation must change, 3: something cannot be reached or does not start).
"""


class LocalServicesError(Exception):
    """One sentence for the operator.

    `LocalServices.start` stops everything that it has started before it raises this; what ran before runs on.
    """

    def __init__(self, sentence: str, *, exit_code: int = 3) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
