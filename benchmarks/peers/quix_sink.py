"""Quix Streams tuned: the only place where it hands out batches is a sink, so the model is called there.

Records are buffered until a checkpoint, and the checkpoint comes by count. At least once.
https://quix.io/docs/quix-streams/connectors/sinks/custom-sinks.html
"""

from confluent_kafka import Producer
from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

from benchmarks.peers.contract import BATCH, CONSUMER, PRODUCER, Job, Scoring, Stopwatch, job

COMMIT_EVERY = 8 * BATCH  # over all partitions: a checkpoint costs milliseconds


class ScoringSink(BatchingSink):  # type: ignore[misc]  # its package lives in an environment of its own
    """Scores what a checkpoint has buffered, one partition at a time."""

    def __init__(self, job: Job, watch: Stopwatch) -> None:
        super().__init__()
        self._scoring, self._watch, self._output = Scoring(job.model), watch, job.output
        self._producer = Producer({**PRODUCER, "bootstrap.servers": job.bootstrap_servers})

    def write(self, batch: SinkBatch) -> None:
        """Called with all records of a partition since the last checkpoint."""
        for chunk in batch.iter_chunks(BATCH):
            values = [item.value for item in chunk]
            for key, value in self._scoring(values):
                self._producer.produce(self._output, value, key)
        self._producer.flush()


def main(job: Job) -> None:
    watch = Stopwatch(job.records)

    def count(*_: object) -> None:
        watch.arrived(1)
        if watch.done:
            app.stop()

    app = Application(
        broker_address=job.bootstrap_servers,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        commit_every=COMMIT_EVERY,
        consumer_extra_config=CONSUMER,
        loglevel="WARNING",
        on_message_processed=count,
    )
    transactions = app.topic(job.topic, value_deserializer="bytes")
    app.dataframe(transactions).sink(ScoringSink(job, watch))
    app.run()
    watch.finish()


if __name__ == "__main__":
    main(job())
