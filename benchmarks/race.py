"""One contestant at a time before the same full topic, timed, and checked.

Everybody who is timed has found what the model finds: no anomaly more, none less, none twice.
"""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson
from confluent_kafka import TopicPartition

from benchmarks import own_worker
from benchmarks.contestants import Contestant
from benchmarks.material import ROOT
from benchmarks.peers.contract import Job
from schemas.scoring import Anomaly
from schemas.topics import ANOMALIES, TRANSACTIONS
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings

PATIENCE_S = 90
Place = tuple[int, int]


class WrongWork(Exception):  # noqa: N818 - named after what it found
    """A contestant did not do what it was timed for."""


class Race:
    """A topic of so many transactions, a model, and what it must find in them.

    Args:
        settings: Where the topic is.
        model: The artefact.
        total: Records on the topic.
        anomalous: Event ids over the threshold, by the model alone.
        edge: Ids too close to the threshold to tell: they may be missing or present.
    """

    def __init__(self, settings: Settings, model: Path, total: int, anomalous: set[str], edge: set[str]) -> None:
        self._settings = settings
        self._model = model
        self._total = total
        self._anomalous = anomalous
        self._edge = edge
        self._places: dict[str, Place] = {}
        self._runs = 0

    def warm_up(self) -> None:
        """Deploy the model and let this worker do the whole topic once: it says where on the topic each anomaly is."""
        since = datetime.now(UTC)
        with own_worker.running(self._settings, "bench-warm-up") as worker:
            worker.start()
            outcome = commands.deploy(self._settings, Order("benchmark", "to be measured"), self._model)
            if not outcome.ok:
                raise WrongWork(outcome.sentence)
            own_worker.await_commits(self._settings, since, {"bench-warm-up"}, self._total)
        self._places = {found.event_id: (found.source.partition, found.source.offset) for found in self._own(since)}
        self._check_own(list(self._places))

    def run(self, contestant: Contestant, python: Path, records: int) -> dict[str, Any]:
        """One run.

        Args:
            contestant: Who.
            python: Its interpreter.
            records: How many records of the topic it does.

        Returns:
            `events`, `seconds`, `cpu_seconds`, `peak_rss_bytes`; `startup_seconds` where it is this worker.

        Raises:
            WrongWork: it failed, or found something else than the model does.
        """
        self._runs += 1
        name = f"bench-{self._runs}-{contestant.name}"
        if contestant.module is None:
            return self._run_own(name, contestant)
        return self._run_peer(name, contestant, python, self._total if contestant.whole else records)

    def _run_own(self, name: str, contestant: Contestant) -> dict[str, Any]:
        since = datetime.now(UTC)
        figures = own_worker.work_off(self._settings, name, self._total, guarantee=contestant.guarantee)
        committed = sum(self._committed(name).values())
        if committed != self._total:
            raise WrongWork(f"{name} committed {committed:,} of {self._total:,}")
        self._check_own([found.event_id for found in self._own(since)])
        return figures

    def _run_peer(self, name: str, contestant: Contestant, python: Path, records: int) -> dict[str, Any]:
        output = replace(ANOMALIES, name=f"out-{name}")
        topics.ensure(self._settings, [output])
        transactions, anomalies = (topics.name(self._settings, topic) for topic in (TRANSACTIONS, output))
        job = Job(self._settings.bootstrap_servers, transactions, anomalies, name, self._model, records)
        command = [str(python), "-m", f"benchmarks.peers.{contestant.module}", *job.arguments()]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise WrongWork(f"{name} was not done after {PATIENCE_S} s") from error
        # Faust's spinner writes control characters before it, and some libraries log to stdout
        lines = [line[line.index("{") :] for line in done.stdout.splitlines() if '{"events"' in line]
        if done.returncode or not lines:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise WrongWork(f"{name} ended with code {done.returncode}: {last}")
        figures: dict[str, Any] = orjson.loads(lines[-1])
        if contestant.module != "ceiling":
            found = [
                orjson.loads(message.value() or b"")["event_id"] for message in read_to_end(self._settings, output)
            ]
            self._check_peer(name, found, contestant, figures["events"])
        return figures

    def _check_own(self, found: list[str]) -> None:
        wrong = (set(found) ^ self._anomalous) - self._edge
        if wrong or len(set(found)) != len(found):
            raise WrongWork(f"this worker found {len(found):,} anomalies, the model alone {len(self._anomalous):,}")

    def _check_peer(self, name: str, found: list[str], contestant: Contestant, events: int) -> None:
        """What it committed holds exactly the anomalies that we find there; beyond that it may have begun more."""
        if not contestant.commits:
            wanted, committed = set(self._places), events
        else:
            ends = self._committed(name)
            wanted = {identity for identity, (p, offset) in self._places.items() if offset < ends.get(p, 0)}
            committed = sum(ends.values())
        missing, foreign = wanted - set(found) - self._edge, set(found) - set(self._places) - self._edge
        if missing or foreign or committed == 0 or len(set(found)) != len(found):
            raise WrongWork(
                f"{name} committed {committed:,} of {events:,} records: {len(missing)} of {len(wanted)} anomalies are "
                f"missing, {len(foreign)} are none, {len(found) - len(set(found))} are there twice"
            )

    def _own(self, since: datetime) -> list[Anomaly]:
        decode = msgspec.json.Decoder(Anomaly).decode
        return [decode(message.value() or b"") for message in read_to_end(self._settings, ANOMALIES, since)]

    def _committed(self, group: str) -> dict[int, int]:
        """Input partition to committed offset."""
        consumer, topic = clients.consumer(self._settings, group), topics.name(self._settings, TRANSACTIONS)
        places = [TopicPartition(topic, p) for p in consumer.list_topics(topic, timeout=10).topics[topic].partitions]
        found = {place.partition: max(place.offset, 0) for place in consumer.committed(places, timeout=10)}
        consumer.close()
        return found
