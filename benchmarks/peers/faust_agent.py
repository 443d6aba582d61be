"""A plain Faust agent that takes batches, as its documentation writes it; at least once.

https://faust-streaming.github.io/faust/userguide/streams.html#take-buffer-up-values-in-the-stream
"""

import asyncio
import os
import tempfile

import faust

from benchmarks.peers.contract import Job, Scoring, Stopwatch, job

TAKE, WITHIN_S = 512, 0.1


def application(job: Job) -> faust.App:
    scoring, watch = Scoring(job.model), Stopwatch(job.records)
    app = faust.App(
        job.group,
        broker=f"kafka://{job.bootstrap_servers}",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        datadir=tempfile.mkdtemp(prefix="bench-faust-"),
    )
    transactions, anomalies, enough = app.topic(job.topic), app.topic(job.output), asyncio.Event()

    @app.agent(transactions)  # type: ignore[arg-type]  # Faust types the protocol, not its own stream
    async def score(stream: faust.Stream[bytes]) -> None:
        async for values in stream.take(TAKE, within=WITHIN_S):
            watch.arrived(len(values))
            for key, value in scoring(values):
                await anomalies.send(key=key, value=value)
            if watch.done:
                enough.set()

    @app.task  # type: ignore[untyped-decorator]
    async def stop() -> None:
        await enough.wait()
        await asyncio.sleep(0)  # the agent acknowledges its last batch
        await app.producer.flush()
        await app.consumer.commit()
        watch.finish()
        os._exit(0)  # measured and committed; what is left is Faust's shutdown, which has been seen to hang

    return app


if __name__ == "__main__":
    faust.Worker(application(job()), loglevel="WARN", quiet=True, redirect_stdouts=False).execute_from_commandline()
