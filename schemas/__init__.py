"""The contracts: every record on every topic as one typed struct, and the topics themselves.

The room has no dependency on the other two: producers, case tools and other languages meet the system here, through the
structs or through the JSON Schema and AsyncAPI documents generated from them (`schemas/generated/`).

    transactions   what comes in, and what the pipeline says of each: anomaly, score, latent, dead letter; labels, later
    drift          mergeable summaries of the signals (internal) and the alerts made of them
    comparison     two models on the same transactions, and what the guard finds
    rollout        commands on `model-swap`, what workers answer on `model-status`, the audit trail
    topics         name, key, partitions and retention of each topic
"""
