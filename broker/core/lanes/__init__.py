"""Scheduling of waiting requests: the order across limits, lanes, tenants, deadlines and ordering keys.

`scheduler` asks each limit in turn; `limit_queue` is one of them, with the requests of its resting service tiers apart;
`lanes` applies order of preference, floors, ceilings and the reserve; `fair_queue`
shares a lane among tenants; `tenants` has their weights and caps; `tenant_queue` orders one tenant's requests by
deadline.
"""
