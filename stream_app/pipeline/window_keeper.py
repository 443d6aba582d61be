"""Keeps the windows of the models in use over the partitions of a session: built before they are read, checkpointed.

A partition that this worker is given waits until its windows are known; where they look at other entities, until those
of all that wait are: what each of them publishes, the others look at. A model with other windows than those in use
waits, too: they are built beside the flow, and it serves once they have caught up.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np

from models.manifest import Manifest
from stream_app.metrics import Metrics
from stream_app.pipeline.batch import Decoded, Raw
from stream_app.pipeline.clock import Clock
from stream_app.pipeline.cuts import Cuts
from stream_app.pipeline.enrich import Decode, Windows, fill, keyed_otherwise
from stream_app.pipeline.faults import SessionLost
from stream_app.pipeline.rebuild import Rebuild
from stream_app.pipeline.session import Session
from stream_app.pipeline.totals_keeper import TotalsKeeper
from stream_app.pipeline.window_figures import WindowFigures
from stream_app.settings import Settings

BUDGET_S = 0.1  # of one turn of the loop, for windows that are built
READ_BACK_S = 30.0  # longer than the transaction of a dead worker may hold up what is read back


class WindowKeeper:
    """All windows of one session.

    Args:
        settings: Bounds, and how often checkpoints are taken.
        session: Its input, where partitions wait for their windows, and the logs that these are built from.
        decoder: Makes the decoder of a model.
        metrics: Figures of the windows.
        on_notice: Takes a sentence for people.
        clock: The time.
    """

    def __init__(
        self,
        settings: Settings,
        session: Session,
        decoder: Callable[[Manifest], Decode],
        metrics: Metrics,
        on_notice: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._max_entities = settings.window_max_entities
        self._longest_wait_s = READ_BACK_S + settings.transaction_timeout_ms / 1000
        self._session = session
        self._input = session.input
        self._decoder = decoder
        self._metrics = metrics
        self._on_notice = on_notice
        self._clock = clock
        self._cuts = Cuts(settings.window_checkpoint_s, clock)
        self._figures = WindowFigures(metrics)
        self._known: list[tuple[Manifest, Windows]] = []
        self._serving: Sequence[Windows] = ()
        self._wanted: Sequence[Windows] = ()
        self._rebuild: tuple[Windows, int, Rebuild, float] | None = None
        self._short: list[tuple[Windows, int, datetime | None]] = []
        self._values: dict[bytes, np.ndarray] = {}
        self._warned = False
        self._built_at: float | None = None
        self._state_partitions = 1
        self._totals = TotalsKeeper(session, clock)

    def serve(self, manifests: Sequence[Manifest]) -> None:
        """These models are in service, the first decides: their windows, and no others, are kept."""
        self._serving = self._wanted = self._of(manifests)
        self._input.waits_for_windows = bool(self._serving)

    def are_ready(self, manifests: Sequence[Manifest]) -> bool:
        """Whether these models, too, could be put in service now; if not, their windows are built meanwhile."""
        wanted = self._of(manifests)
        self._wanted = [*self._serving, *(w for w in wanted if w not in self._serving)]
        flowing = {p: at for p, at in self._input.positions.items() if p not in self._input.waiting}
        return all(
            windows.reached.get(p) == at and self._totals.are_known(windows, p)
            for windows in wanted
            for p, at in flowing.items()
        )

    @property
    def are_used(self) -> bool:
        """Whether there are any, in use or being built."""
        return bool(self._wanted)

    @property
    def are_behind(self) -> bool:
        """Whether windows are being built."""
        return self._missing() is not None

    def turn(self, is_committed: bool) -> str:
        """Build for a while what is missing; what it is, for people, if partitions wait for it.

        Args:
            is_committed: All that was counted is committed, so that a checkpoint may be taken.

        Raises:
            PipelineError, KafkaException: the logs cannot be read.
        """
        positions = self._input.positions
        for windows in self._wanted:
            windows.keep(positions)
        self._totals.turn(self._wanted, BUDGET_S)
        missing = self._missing()
        if missing is not None:
            self._build(*missing)
        elif self._short:
            self._tell()
        for partition in self._admitted():
            self._input.admit(partition)
        if is_committed:
            self._cuts.begin(self._wanted)
        waiting = sorted(self._input.waiting)
        self._metrics.window_partitions_waiting.set(len(waiting))
        if not waiting:
            return ""
        if self._built_at is None:
            return f"filling windows of partitions {waiting} from their log"
        return f"reading back what partitions {waiting} know of other entities"

    def __call__(self, raw: Raw, decoded: Decoded, manifest: Manifest) -> Decoded:
        """Compute and count the windows of a micro-batch, all that are in use.

        Args:
            raw: The batch.
            decoded: As the model that decides reads it.
            manifest: Of that model.

        Raises:
            SessionLost: windows are not where the batch begins; a new session builds them anew.
        """
        own = self._find(manifest)
        for windows in self._serving:
            if not raw.spans.keys() <= windows.states.keys():
                raise SessionLost("windows", f"partitions {sorted(raw.spans)} came before their windows")
        steps = ((windows, decoded if windows is own else windows.decode(raw)) for windows in self._wanted)
        self._values = {windows.fingerprint: windows.step(raw, mine) for windows, mine in steps}
        if own is None:
            return decoded
        self._watch_keys(raw, decoded)
        return fill(decoded, manifest.definition, self._values[own.fingerprint])

    def reader(self, manifest: Manifest) -> Decode:
        """Decodes as a second model reads, with the windows that were computed last."""
        windows, decode = self._find(manifest), self._decoder(manifest)
        if windows is None:
            return decode
        return lambda raw: fill(decode(raw), manifest.definition, self._values[windows.fingerprint])

    @property
    def has_records(self) -> bool:
        """Whether records of a checkpoint wait for a transaction."""
        return self._cuts.is_open

    @property
    def are_due(self) -> bool:
        """Whether hops of other entities are over that have not been published."""
        return self._totals.are_due(self._wanted)

    def publish(self) -> list[int]:
        """Put the hops of other entities that are over into the transaction; of which partitions there were any."""
        return self._totals.publish(self._wanted)

    def write(self) -> None:
        """Put those of one transaction into it."""
        self._session.emitter.window_state(self._cuts.take(), self._state_partitions)

    def committed(self) -> None:
        """The transaction has been committed, and with it everything that was counted."""
        if self._wanted:
            self._cuts.committed()
            self._figures.observe(self._wanted, self._cuts.age_s(self._wanted))

    def close(self) -> None:
        """Let the readers go."""
        self._totals.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._rebuild is not None:
            self._rebuild[2].close()
            self._rebuild = None

    def _of(self, manifests: Sequence[Manifest]) -> list[Windows]:
        """The windows of models, each once."""
        found = [self._find(manifest) or self._made(manifest) for manifest in manifests if manifest.definition.windows]
        self._known = [entry for entry in self._known if entry[1] in (*self._wanted, *found)]
        return list(dict.fromkeys(found))

    def _find(self, manifest: Manifest) -> Windows | None:
        return next((windows for known, windows in self._known if known is manifest), None)

    def _made(self, manifest: Manifest) -> Windows:
        """The windows of a model; those of another one, where they are the same."""
        made = Windows(manifest.definition, self._session.topic.id, self._decoder(manifest), self._max_entities)
        same = next((windows for _, windows in self._known if windows.fingerprint == made.fingerprint), made)
        self._known.append((manifest, same))
        return same

    def _missing(self) -> tuple[Windows, int] | None:
        """What is to be built next; what a partition waits for comes first, and what was begun is finished."""
        places = sorted(self._input.positions, key=lambda partition: (partition not in self._input.waiting, partition))
        missing = [(windows, p) for windows in self._wanted for p in places if p not in windows.states]
        if self._rebuild is not None and self._rebuild[:2] not in missing:
            self._let_go()
        return self._rebuild[:2] if self._rebuild is not None else missing[0] if missing else None

    def _build(self, windows: Windows, partition: int) -> None:
        now = self._clock.monotonic()
        if self._rebuild is None:
            self._rebuild = windows, partition, Rebuild(windows, partition, self._session.logs), now
        *_, rebuild, began_at = self._rebuild
        if not rebuild.turn(self._input.positions[partition], BUDGET_S):
            return
        windows.states[partition], windows.reached[partition] = rebuild.state, rebuild.reached
        self._state_partitions = rebuild.partitions[self._session.logs.state]
        self._totals.built(windows, rebuild.partitions)
        self._cuts.restored(windows, partition, rebuild.cut)
        self._figures.begin(windows, partition)
        self._metrics.window_rebuild.observe(self._clock.monotonic() - began_at)
        if rebuild.is_short:
            self._short.append((windows, partition, rebuild.since))
        self._rebuild = None

    def _tell(self) -> None:
        """For how long windows are short, once all are built."""
        partitions = sorted({partition for _, partition, _ in self._short})
        longest_s = max(windows.reach_s for windows, _, _ in self._short)
        since = max((at for _, _, at in self._short if at is not None), default=None)
        self._short.clear()
        length = f"{longest_s / 86_400:g} days" if longest_s >= 86_400 else f"{longest_s / 3600:g} hours"
        known = "begin without a past" if since is None else f"know nothing before {since:%Y-%m-%d %H:%M} UTC"
        full = "" if since is None else f", for events before {since + timedelta(seconds=longest_s):%Y-%m-%d %H:%M}"
        self._on_notice(
            f"windows of partitions {partitions} {known}, as their log does. The longest looks back {length}: until "
            f"then they are short{full}"
        )

    def _admitted(self) -> list[int]:
        """Which of those that wait are read from now on."""
        waiting = sorted(self._input.waiting)
        known = [p for p in waiting if all(self._totals.are_known(windows, p) for windows in self._serving)]
        if known == waiting or not any(windows.have_others for windows in self._serving):
            self._built_at = None
            return known
        if any(p not in windows.states for windows in self._serving for p in waiting):
            self._built_at = None
            return []
        now = self._clock.monotonic()
        self._built_at = now if self._built_at is None else self._built_at
        if now - self._built_at < self._longest_wait_s:
            return []
        self._built_at = None
        self._on_notice(
            f"what partitions {[p for p in waiting if p not in known]} know of other entities was not read back from "
            f"`window-totals` within {self._longest_wait_s:g} s: they are scored with less, and "
            "`stream_app_window_incomplete_reads_total` counts it. See whether a transaction is open there"
        )
        return waiting

    def _watch_keys(self, raw: Raw, decoded: Decoded) -> None:
        count = keyed_otherwise(raw, decoded)
        if count:
            self._metrics.window_keyed_otherwise.inc(count)
        if count and not self._warned:
            self._warned = True
            self._on_notice(
                "records have another key than their entity: windows need the input topic keyed by the entity, or its "
                "events are in several partitions and each knows a part of its past"
            )
