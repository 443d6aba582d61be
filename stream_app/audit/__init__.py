"""The audit trail: every action is a record on `audit`, chained, so that one that is removed or changed shows.

chain           a writer's records, each with the digest of the one before
sealer          the digests of the whole log, put into the log by the worker that runs the controller
proof           the log in, the places where it was tampered with out: pure
configuration   a worker's settings, on record when they differ from the last time
record          a new record
"""
