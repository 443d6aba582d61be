"""The composition root: one Faust worker that holds the data plane (a thread) and the control plane (agents, web).

If any of its threads dies, the worker dies, with a non-zero exit and one clear last line; it never sits there healthy
and idle.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from typing import Any

import faust
from faust.app.base import BootStrategy
from faust.contrib.asgi import serve_asgi
from faust.tables import TableManager
from mode import Service
from prometheus_client import CollectorRegistry

from schemas import topics as declared
from stream_app import threads
from stream_app.host import drift as drift_host
from stream_app.host import read_committed, surroundings
from stream_app.host import rollout as rollout_host
from stream_app.host.control_plane import ControlPlane
from stream_app.host.credentials import credentials
from stream_app.host.rollout import Ownership
from stream_app.kafka import clients, limits, permissions, topics
from stream_app.kafka.clients import BrokerError
from stream_app.kafka.roles import WORKER
from stream_app.metrics import Metrics
from stream_app.ops import access
from stream_app.ops.health import Liveness
from stream_app.ops.overview import StatusPage
from stream_app.ops.progress_metrics import ProgressCollector
from stream_app.ops.web import application
from stream_app.pipeline.faults import PipelineError
from stream_app.pipeline.progress import Progress
from stream_app.pipeline.recovery import Pipeline
from stream_app.rollout.state import Rollout
from stream_app.rollout.trust import signing_key, trust
from stream_app.settings import Settings, load
from stream_app.threads import Supervised

PIPELINE_STOP_S = 3.0
EXIT_BOUND_S = 4.5  # Faust has been seen to hang on SIGTERM; the next owner does what is not committed by then
WATCH_S = 0.2
REQUEST_S = 80.0  # beyond the session timeout: Faust wants it longer, and joining a group may take that timeout

FOR_PEOPLE = (PipelineError, BrokerError)

log = logging.getLogger(__name__)


class Worker:
    """The parts of one worker, made in the order of their dependencies. Needs a broker that answers.

    Attributes:
        threads: All of its threads, the pipeline's first: the death of any of them ends it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.progress = Progress()
        ProgressCollector(self.progress, self.registry)
        liveness = Liveness(self.progress, settings.stall_after_s)
        self.owner = Ownership(settings)
        self.control = ControlPlane(settings, self.metrics, self.progress, liveness, self.owner)
        self.follower = self.control.follower
        pipeline = Pipeline(settings, self.follower.prescribed, self.metrics, self.progress)
        self.pipeline = Supervised("pipeline", pipeline.run, pipeline.stop)
        self.threads = (self.pipeline, *self.control.threads)
        self.page = StatusPage(settings, self.progress, liveness, self.control.board)
        self.app = self._app()

    def _rollout(self) -> Rollout | None:
        return self.follower.rollout if self.follower.read_to_end else None

    def _app(self) -> faust.App:
        settings = self.settings
        app = faust.App(
            settings.control_group,
            broker=[f"kafka://{server}" for server in settings.bootstrap_servers.split(",")],
            broker_client_id=clients.client_id(settings),
            broker_credentials=credentials(settings),
            topic_disable_leader=True,
            topic_allow_declare=False,
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=settings.session_timeout_ms / 1000,
            broker_request_timeout=settings.session_timeout_ms / 1000 + REQUEST_S,
            broker_heartbeat_interval=settings.session_timeout_ms / 1000 / 4,
            stream_wait_empty=False,
            web_enabled=True,
            web_bind=settings.web_host,
            web_port=settings.web_port,
            datadir=settings.model_cache / "faust",
            TableManager=NoTables,
        )
        app.boot_strategy = BootStrategy(app, enable_kafka_producer=False)  # its agents publish nothing
        read_committed.install(app)
        page = application(self.page, self.registry, access.token(settings))
        serve_asgi(app, page, host=settings.web_host, port=settings.web_port, access_log=False)
        rollout_host.install(app, settings, self.owner, self._rollout)
        known = self.follower
        swap_to, is_ready = known.log.swap_to, lambda: known.read_to_end
        drift_host.install(app, settings, known.warm.reference, swap_to, is_ready, self.metrics)
        app.service(Threads(self))  # type: ignore[arg-type]  # instances are taken too
        return app


class NoTables(TableManager):
    """Starts at once. Faust's own waits a second for tables to register, and there are none."""

    logger = logging.getLogger("faust.tables")  # or mode lets it speak in the name of this module

    async def on_start(self) -> None:
        """As there, without the wait."""
        await self._update_channels()
        await self.recovery.start()


class Threads(Service):
    """All threads of a worker as a guest of Faust: started, watched, stopped with a bound."""

    def __init__(self, worker: Worker, **kwargs: Any) -> None:
        self._worker = worker
        super().__init__(**kwargs)

    async def on_start(self) -> None:
        """Start everything; returns at once."""
        self._worker.control.start()
        self._worker.pipeline.start()

    async def on_stop(self) -> None:
        """Finish the batch, commit, leave the group; then stop the rest."""
        pipeline = self._worker.pipeline
        pipeline.stop()
        await asyncio.to_thread(pipeline.join, PIPELINE_STOP_S)
        if pipeline.is_alive:
            log.warning("the pipeline did not end in time: what it had not committed is done again by the next owner")
        await asyncio.to_thread(self._worker.control.stop)

    @Service.task
    async def _record_configuration(self) -> None:
        await asyncio.to_thread(self._worker.control.record_configuration)

    @Service.task
    async def _watch(self) -> None:
        while not self.should_stop:
            threads.check(self._worker.threads, FOR_PEOPLE)
            await self.sleep(WATCH_S)


def run(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT.

    Returns:
        The exit code: 0 after a signal, 1 when it had to give up; the last line on stderr says why.

    Raises:
        BrokerError: topics contradict their declaration, or rights are missing.
    """
    _log_to_stderr(settings.log_level)
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until Faust takes over: there is nothing to finish
    try:
        _prepare(settings)
        return _run(Worker(settings))
    finally:
        signal.signal(signal.SIGTERM, before)  # who called goes on: what ended it a moment ago ends nobody later


def _run(worker: "Worker") -> int:
    _collect_seldom()
    guest = BoundedWorker(worker.app, quiet=True, override_logging=False, redirect_stdouts=False)
    try:
        guest.execute_from_commandline()
    except SystemExit as exit_:  # it leaves no other way
        if guest.crash_reason is None:
            return int(exit_.code or 0)
    log.critical("the worker stops: %s", guest.crash_reason)
    logging.disable()  # a thread that still rebuilds the drift statistics has nothing to add to that
    return 1


def _prepare(settings: Settings) -> None:
    """See that this machine is fit, wait for the broker, and see that topics and rights are as a worker needs them."""
    access.token(settings)
    signing_key(settings)
    trust(settings)
    credentials(settings)
    clients.require(settings)
    surroundings.require(settings)
    clients.wait_for_broker(settings, None, log.info)
    limits.require(settings)
    topics.ensure(settings, declared.ALL)
    permissions.require(settings, WORKER)


def _log_to_stderr(level: str) -> None:
    """A line for each thing that an operator should know; what frameworks say of themselves only when it is bad."""
    handler = logging.StreamHandler()
    handler.addFilter(_UntilTheEnd())
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(format=form, level=logging.WARNING, handlers=[handler])
    logging.getLogger("stream_app").setLevel(level)
    logging.getLogger("stream_app.host.read_committed").setLevel(logging.WARNING)  # mode names it so


class _UntilTheEnd(logging.Filter):
    """A message for people that ends the worker is its last line: no traceback from each service on its way.

    Nor from services that stumble while they are torn down. Any other error is a fault of ours, and is logged whole.
    """

    ended = False

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        self.ended = self.ended or isinstance(error, FOR_PEOPLE)
        return error is None or not self.ended


def _collect_seldom() -> None:
    """Keep the garbage collector out of the hot path: what exists now stays, decoded events are not tracked anyway."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


class BoundedWorker(faust.Worker):
    """A Faust worker that ends in bounded time after a signal, whatever hangs."""

    def _on_sigint(self) -> None:
        self._bound()
        super()._on_sigint()

    def _on_sigterm(self) -> None:
        self._bound()
        super()._on_sigterm()

    async def _sentinel_task(self) -> None:
        """Let what was cancelled last come to its end; mode sleeps a second here, whether there is anything or not."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=1.0)

    def _bound(self) -> None:
        timer = threading.Timer(EXIT_BOUND_S, os._exit, (0,))
        timer.daemon = True
        timer.start()


def faust_app() -> faust.App:
    """The app of a worker with the settings of the environment, for Faust's own command line."""
    settings = load()
    _prepare(settings)
    return Worker(settings).app
