"""Quix Streams as its documentation writes it: a streaming data frame, a function applied to each record.

https://quix.io/docs/quix-streams/tutorials/anomaly-detection/tutorial.html
"""

from typing import Any

from quixstreams import Application

from benchmarks.peers.contract import CONSUMER, PRODUCER, Job, Scoring, Stopwatch, job


def main(job: Job) -> None:
    scoring, watch = Scoring(job.model), Stopwatch(job.records)

    def stop_when_done(*_: object) -> None:
        if watch.done:
            app.stop()

    app = Application(
        broker_address=job.bootstrap_servers,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        consumer_extra_config=CONSUMER,
        producer_extra_config=PRODUCER,
        loglevel="WARNING",
        on_message_processed=stop_when_done,
    )
    transactions = app.topic(job.topic, value_deserializer="json")
    anomalies = app.topic(job.output, key_serializer="bytes", value_serializer="bytes")

    def score(event: dict[str, Any]) -> list[bytes]:
        watch.arrived(1)
        return [value for _, value in scoring.of_events([event])]

    app.dataframe(transactions).apply(score, expand=True).to_topic(anomalies)
    app.run()
    watch.finish()


if __name__ == "__main__":
    main(job())
