"""Bytewax as its documentation writes it, with batches where it has them; without recovery, which costs extra there.

https://docs.bytewax.io/stable/guide/concepts/kafka.html
"""

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSourceMessage
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main

from benchmarks.peers.contract import BATCH, CONSUMER, PRODUCER, Job, Scoring, Stopwatch, job


def flow(job: Job, watch: Stopwatch) -> Dataflow:
    scoring, brokers = Scoring(job.model), [job.bootstrap_servers]

    def score(messages: list[KafkaSourceMessage[bytes, bytes]]) -> list[KafkaSinkMessage[bytes, bytes]]:
        watch.arrived(len(messages))
        return [KafkaSinkMessage(key, value) for key, value in scoring([message.value for message in messages])]

    flow = Dataflow("anomalies")
    source = kop.input(
        "in", flow, brokers=brokers, topics=[job.topic], tail=False, add_config=dict(CONSUMER), batch_size=BATCH
    )
    scored = op.flat_map_batch("score", source.oks, score)
    kop.output("out", scored, brokers=brokers, topic=job.output, add_config=dict(PRODUCER))
    return flow


def main(job: Job) -> None:
    watch = Stopwatch(job.records)
    run_main(flow(job, watch))
    watch.finish()


if __name__ == "__main__":
    main(job())
