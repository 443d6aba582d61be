"""Running a model: the pipeline on Kafka, drift, rollout, operations, and the command line.

The rooms stand on floors; each imports only from those below it (`tests/unit/test_imports.py` has the table):

cli/         the program `stream-app`
testing/     a worker process, an incident, a tiny model: for tests, benchmarks and the demo
host/        all that is Faust: the worker's composition root
report/ replay/ verify/   for people: drift reports, receipts, the proof of conservation
ops/         health, heartbeat, the page
drift/       the aggregator of the partitions' summaries
rollout/     the model-swap protocol
audit/       the chained record of who did what
pipeline/    the hot path, one module a stage, in the order of the flow
embedded/    the broker that comes along
kafka/       clients, topics, whole logs, rights
metrics      every figure that Prometheus reads
settings     one frozen object, read once
"""
