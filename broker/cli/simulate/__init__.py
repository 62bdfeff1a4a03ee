"""`headrace simulate`: from a workload file or a few options to waits, deadlines and the effect of a larger quota."""
