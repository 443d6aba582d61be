"""The ceiling: a `consume` loop that does nothing with what it gets, with the worker's own client settings."""

from confluent_kafka import Consumer

from benchmarks.peers.contract import BATCH, CONSUMER, Job, Stopwatch, job


def main(job: Job) -> None:
    consumer = Consumer(
        {
            **CONSUMER,
            "bootstrap.servers": job.bootstrap_servers,
            "group.id": job.group,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": 64 * 1024,
            "fetch.message.max.bytes": 4 * 1024 * 1024,
            "fetch.max.bytes": 32 * 1024 * 1024,
        }
    )
    consumer.subscribe([job.topic])
    watch = Stopwatch(job.records)
    while not watch.done:
        watch.arrived(len(consumer.consume(BATCH, 0.005)))
    consumer.commit(asynchronous=False)
    watch.finish()
    consumer.close()


if __name__ == "__main__":
    main(job())
