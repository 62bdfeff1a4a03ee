"""looptime asks the loop policy for a loop before every test: when a sync test comes first, the policy creates one.

Nobody closes that loop, and a later async test fails for the ResourceWarning. Saying once that there is none helps.
"""

import asyncio

asyncio.set_event_loop(None)
