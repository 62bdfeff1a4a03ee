"""The pages for users hold: their code blocks run, their lines are those of one source, their statements agree.

`blocks.py` finds the blocks, `shell.py` and `python.py` run them. Links and names are tests/unit/test_docs.py's matter.
"""
