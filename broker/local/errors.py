"""What can go wrong with the local pair, for the only reader there is: a person at a terminal.

LocalServicesError says in one sentence what happened and what to do; `exit_code` is the one of `broker.cli`
(2: the call or the installation must change, 3: something cannot be reached or does not start).
"""


class LocalServicesError(Exception):
    """One sentence for a person; nothing of the pair is left running when it is raised."""

    def __init__(self, sentence: str, *, exit_code: int = 3) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code
