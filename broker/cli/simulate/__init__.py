"""`headrace simulate`: a workload file or a few options in; waits, deadlines and what a larger quota would buy out."""
