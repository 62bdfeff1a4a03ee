"""Progress of each lane partition: which records are done, though work ends in another order than it began.

`partition_progress` keeps it, `offset_map` is its written form in Kafka's offset metadata, and `poison_records` names
the records that may have ended the process that decoded them.
"""
