"""The hot path: one module for each stage, batch in, batch out, in the order of the flow.

    consume     poll a micro-batch of raw records, with its own offsets
    decode      bytes to columns; a record that does not fit becomes a refusal with a reason
    enrich      what is known of each entity's past, from the records before
    score       columns to scores, contributions, reconstructions and latents
    compare     score with a second model, if there is one, and choose which of the two decides
    explain     the largest contributions to each anomaly
    summarise   sums for the drift aggregator and the ledger
    emit        records for the output topics
    commit      outputs and offsets become visible together

A stage never imports another stage: `loop.py` alone knows all of them, and `batch.py` is what passes between them.
`interval.py` is what has been done since the last commit.
`window_keeper.py` has the windows ready; `rebuild.py` builds them from checkpoint and log, `cuts.py` checkpoints them.
`session.py` holds the Kafka clients; after a failure `recovery.py` opens a new session (`faults.py` has the rules).
`serving.py` is the model that the pipeline is handed.
"""
