"""The hot path: one module a stage, batch in, batch out, in the order of the flow.

    consume     a micro-batch of raw records, with its own offsets
    decode      bytes to columns; what is refused becomes a refusal with a reason
    score       columns to scores, contributions, reconstructions, latents
    compare     a second model on the same rows, where there is one: who decides which, and how the two differ
    explain     what is anomalous, and why
    summarise   everything to mergeable sums for the drift aggregator
    emit        records for the output topics
    commit      outputs and offsets become visible together

Around them:

    batch       what passes between the stages
    loop        the one module that knows them all
    session     one life of the Kafka clients; recovery opens the next one
    breaker     holds the input back while most of it is refused
    tally       counts, for metrics and progress, what is committed
    contrast    two models' outputs to counts, for the guard
    faults      what can go wrong, and what follows from it

A stage never imports another stage; `loop` alone knows all of them.
"""
