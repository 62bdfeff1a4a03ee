"""looptime asks the loop policy for a loop before every test, so a sync test that runs first makes the policy create one.

Nobody closes that loop, and a later async test fails for the ResourceWarning. Saying once that there is none prevents it.
"""

import asyncio

asyncio.set_event_loop(None)
