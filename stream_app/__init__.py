"""Running a model: the pipeline on Kafka, drift, rollout, operations, and the command line.

settings    one frozen object, read once
kafka/      client settings, topics, the embedded broker
pipeline/   the hot path, one module a stage, in the order of the flow
drift/      summaries in, alerts out
rollout/    the model-swap protocol
ops/        metrics, health, the page
verify      proves that every input offset is accounted for
worker      the composition root: one Faust worker that holds all of it
cli/        the program `stream-app`
"""
