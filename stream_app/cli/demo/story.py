"""The steps of the demo, in order. Each one happens for real, or the story ends there with a non-zero exit."""

import shutil
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl

from models.definition import DEFAULT, default
from schemas import topics as declared
from schemas.drift import DriftAlert
from stream_app.cli import readable
from stream_app.cli.demo.model_steps import ModelSteps
from stream_app.cli.demo.output import StepOutput, StoryError
from stream_app.cli.demo.output_tap import OutputTap, Seen
from stream_app.cli.demo.traffic import CALM, DRIFTED, Traffic, encoded
from stream_app.cli.terminal import is_interactive, progress
from stream_app.embedded.broker import EmbeddedBroker
from stream_app.kafka import topics
from stream_app.settings import GuardMode, Settings
from stream_app.testing.stream import Stream
from stream_app.testing.worker_process import WorkerProcess, WorkerProcessError
from stream_app.verify.cluster import LedgerVerdict, verify

FOLDER = Path("build/demo")
RATE, SWAP_RATE = 4000.0, 1000.0  # events a second, and while models come and go
SHOWN = 5
ALERT_PATIENCE_S, READY_S, DRAIN_S = 30.0, 60.0, 180.0
CHECK_S = 0.05
AFTERWARDS = 100.0  # events a second, for whoever looks at the page when the story has been told


class Story:
    """What the steps share.

    Args:
        settings: As the user has set them; names, ports and folders are the demo's own.
        stage: Closes everything, in reverse, whatever happens.
    """

    def __init__(self, settings: Settings, stage: ExitStack) -> None:
        self.output = StepOutput(steps=14)
        self.stage = stage
        self.given = settings
        self.figures: list[tuple[str, str]] = []

    def tell(self) -> None:
        """All steps.

        Raises:
            StoryError: one did not happen.
        """
        self.kafka_comes_up()
        self.payments_are_simulated()
        self.models.begins(self.traffic.week)
        self.worker_comes_up()
        self.history_fills_the_windows()
        self.payments_stream()
        self.drift_is_noticed()
        self.bad_models_are_kept_out()
        self.backlog_is_worked_off()
        self.conservation_is_proved()
        self.output.table("What was measured", self.figures)

    def kafka_comes_up(self) -> None:
        """A real broker, and the topics."""
        with self.output.step("Apache Kafka, embedded"):
            shutil.rmtree(FOLDER, ignore_errors=True)
            FOLDER.mkdir(parents=True)
            mark = uuid.uuid4().hex[:6]
            kafka = self.stage.enter_context(EmbeddedBroker(say=self.output.line))
            self.settings = self.given.model_copy(
                update={
                    "bootstrap_servers": kafka.bootstrap_servers,
                    "app_id": f"demo-{mark}",
                    "model_cache": (FOLDER / "model-cache").resolve(),
                    "gate_reports": FOLDER / "gate-reports",
                    "guard": GuardMode.ACT,
                    "tracking_uri": "",
                    "gate_limits": FOLDER / "limits.toml",
                    "detector": DEFAULT,
                }
            )
            self.models = ModelSteps(self.settings, FOLDER, self.output, self.figures)
            topics.ensure(self.settings, declared.ALL)
            self.output.line(f"Kafka at {kafka.bootstrap_servers}, {len(declared.ALL)} topics")

    def payments_are_simulated(self) -> None:
        """The days that fill the windows, the week to train on, and the days that will be live."""
        with self.output.step("Raw card payments, simulated"):
            with progress("simulating", 1) as advance:
                self.traffic = Traffic.make(FOLDER, lambda done, total: advance(done / total))
            week, live = self.traffic.week, self.traffic.live
            frauds = float(week["fraud"].mean() or 0)  # type: ignore[arg-type]
            self.output.line(f"{len(week):,} to train on ({frauds:.2%} frauds), {len(live):,} to stream")
            self.output.line(f"of each: who, where, when, how much; {len(default().windows)} windows are computed here")

    def worker_comes_up(self) -> None:
        """A process of its own; it waits for a model, and gets one."""
        with self.output.step("A worker, and its first model"):
            self.worker = WorkerProcess(self.settings, FOLDER / "worker.log")
            self.stage.callback(self.worker.stop)
            self.worker.start()
            self.output.line(f"page: {self.worker.url}")
            self.models.first_model_is_deployed()
            self.worker.wait_for("health/ready", READY_S)
            self.worker.wait_for_partitions(READY_S)

    def history_fills_the_windows(self) -> None:
        """The payments before, and the frauds that became known of them."""
        with self.output.step("The days before: they fill the windows"):
            self.labels = self.traffic.labels()
            history, started = encoded(self.traffic.history), time.monotonic()
            with Stream(self.settings, history, None, self.labels) as stream:
                with progress("the days before", len(history)) as advance:
                    stream.reach(len(history), advance)
                self.sent = stream.sent
            self._drain(self.sent)
            self.labels = self.labels[stream.labels_sent :]
            took = time.monotonic() - started
            self.output.line(
                f"{self.sent:,} payments of {self.traffic.days_before} days in {took:.1f} s, labels as they arrive"
            )

    def payments_stream(self) -> None:
        """As usual; some bad records among them; a second model comes and goes; anomalies with their reasons."""
        self.tap = self.stage.enter_context(OutputTap(self.settings, self.traffic.live["event_time"][0]))
        self.stream = self.stage.enter_context(
            Stream(self.settings, encoded(self.traffic.live), SWAP_RATE, self.labels)
        )
        self.bad = self.stream.send_bad_records()
        self.models.second_model_is_deployed()
        self.models.rollback_takes_effect()
        with self.output.step(f"Payments at {RATE:,.0f} a second"):
            self.stream.rate = RATE
            self._stream_until(CALM, "as usual")
            strongest = sorted(self.tap.anomalies, key=lambda seen: -seen.anomaly.score)[:SHOWN]
            if not strongest:
                raise StoryError("no anomaly was published")
            for seen in strongest:
                self.output.line(readable.clean(readable.anomaly(seen.anomaly)))
            self._note_latency(self.tap.anomalies)

    def drift_is_noticed(self) -> None:
        """A producer starts to send amounts in another unit."""
        with self.output.step("A producer sends amounts in another unit"):
            alert = self.tap.wait_for_alert(self.traffic.drift.at, ALERT_PATIENCE_S)
            self.output.line(f"{alert.severity.value}: {', '.join(shift.signal for shift in alert.signals[:SHOWN])}")
            self.output.line(f"likely cause: {alert.cause}")
            self.output.line(f"what to do: {alert.action}")
            self.figures.append(("drift alert after", f"{self._delay(alert):,} events"))
            self._stream_until(CALM + DRIFTED, "with the wrong unit")

    def bad_models_are_kept_out(self) -> None:
        """While payments stream, fewer of them, so that they last."""
        self.stream.rate = SWAP_RATE
        self.models.corrupted_model_is_refused()
        self.models.shifted_candidate_is_refused(self.traffic.file)
        self.models.shifted_candidate_is_forced_through()

    def backlog_is_worked_off(self) -> None:
        """The rest of the stream at once: how fast can it be?"""
        with self.output.step("The rest of the payments, as fast as it goes"):
            first, started = self.stream.sent, time.monotonic()
            self.stream.rate = None
            self._stream_until(len(self.stream), "as fast as it goes")
            self._drain(self.sent + self.stream.sent + self.bad)
            rate = (self.stream.sent - first) / (time.monotonic() - started)
            self.output.line(f"{self.stream.sent - first:,} events scored in {time.monotonic() - started:.1f} s")
            self.figures.append(("events a second, producer and broker beside it", f"{rate:,.0f}"))

    def conservation_is_proved(self) -> None:
        """Every input offset is accounted for."""
        with self.output.step("Verify: every event accounted for"):
            verdict = verify(self.settings)
            self.output.line(
                f"{verdict.committed:,} offsets = {verdict.scored:,} scored + {verdict.dead_lettered:,} dead-lettered"
            )
            if not verdict.ok:
                raise StoryError(f"{len(verdict.breaks)} breaks, the first: {verdict.breaks[0]}")
            valid = self.sent + len(self.traffic.live)
            if (verdict.scored, verdict.dead_lettered) != (valid, self.bad):
                raise StoryError(f"{valid} valid and {self.bad} bad records were sent")
            self._note_outcome(verdict)

    def stay(self) -> None:
        """Transactions go on, slowly, until Ctrl-C."""
        self.output.line(f"The page stays up until Ctrl-C: {self.worker.url}")
        more = self.traffic.more()
        known_later = self.labels[self.stream.labels_sent :]
        with Stream(self.settings, more, AFTERWARDS, known_later) as stream:
            stream.reach(len(more), lambda _: None)

    def _stream_until(self, count: int, how: str) -> None:
        with progress(how, count) as advance:
            self.stream.reach(count, advance)

    def _drain(self, sent: int) -> None:
        """Until the ledger says that everything sent is committed."""
        deadline = time.monotonic() + DRAIN_S
        while (committed := self.worker.committed()) < sent:
            if time.monotonic() > deadline:
                raise StoryError(f"{committed:,} of {sent:,} events are committed after {DRAIN_S:.0f} s")
            time.sleep(CHECK_S)

    def _delay(self, alert: DriftAlert) -> int:
        """Transactions from the first wrong one to the newest that the alert had seen."""
        between = self.traffic.live["event_time"].is_between(self.traffic.drift.at, alert.raised_at)
        return int(between.sum())

    def _note_latency(self, seen: list[Seen]) -> None:
        row_of = {identity: row for row, identity in enumerate(self.traffic.live["event_id"])}
        sent = [self.stream.sent_at[row_of[entry.anomaly.event_id]] for entry in seen]
        latency = (np.array([entry.at for entry in seen]) - np.array(sent)) * 1000
        p50, p99 = np.percentile(latency, (50, 99))
        self.figures.append((f"latency at {RATE:,.0f}/s, producer to consumer", f"P50 {p50:.0f} ms, P99 {p99:.0f} ms"))

    def _note_outcome(self, verdict: LedgerVerdict) -> None:
        usual = set(self.traffic.live["event_id"][CALM : CALM + DRIFTED])
        frauds = set(self.traffic.live.filter(pl.col("fraud"))["event_id"])
        found = [e.anomaly.event_id for e in self.tap.anomalies if e.anomaly.event_id not in usual]
        precision = sum(identity in frauds for identity in found) / max(len(found), 1)
        self.figures[:0] = [
            ("events scored", f"{verdict.scored:,}"),
            ("anomalies in the live days", f"{len(self.tap.anomalies):,}"),
            ("frauds among them, but for the drifted hours", f"{precision:.0%}"),
        ]


def run_demo(settings: Settings) -> int:
    """Tell the story; a person may look at the page afterwards, until Ctrl-C.

    Returns:
        The exit code: 0 if every step happened.
    """
    with ExitStack() as stage:
        story = Story(settings, stage)
        try:
            story.tell()
            if is_interactive():
                story.stay()
        except (StoryError, WorkerProcessError) as error:
            story.output.line(f"the story ends here: {error}")
            return 1
        except KeyboardInterrupt:
            story.output.line("ended by Ctrl-C")
    return 0
