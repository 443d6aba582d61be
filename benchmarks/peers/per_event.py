"""A poll loop with confluent-kafka that scores record by record: what most teams have. Commits by the clock."""

from confluent_kafka import Consumer, Producer

from benchmarks.peers.contract import CONSUMER, PRODUCER, Job, Scoring, Stopwatch, job


def main(job: Job) -> None:
    scoring, watch = Scoring(job.model), Stopwatch(job.records)
    consumer = Consumer({**CONSUMER, "bootstrap.servers": job.bootstrap_servers, "group.id": job.group})
    producer = Producer({**PRODUCER, "bootstrap.servers": job.bootstrap_servers})
    consumer.subscribe([job.topic])
    while not watch.done:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        watch.arrived(1)
        for key, value in scoring([message.value() or b""]):
            producer.produce(job.output, value, key)
        producer.poll(0)
    producer.flush()
    consumer.commit(asynchronous=False)
    watch.finish()
    consumer.close()


if __name__ == "__main__":
    main(job())
