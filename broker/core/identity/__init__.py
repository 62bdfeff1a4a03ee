"""Identity of records: duplicates, retries, replays, conflicts and cancels.

`dedupe` decides, from the outcomes of the last window (`outcome_index`) and from what is open; `pending_cancels` holds
cancels that came before their request.
"""
