"""Windows of other entities and of labels over whole pipelines: what training computes, whatever workers suffer."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import artefact
from models.definition import complaints, complete
from models.windows.history import windows_of
from models.windows.totals import HEAD
from schemas.definition import Definition, EventFields, Input, LabelColumn, Window
from schemas.scoring import Label
from stream_app.pipeline import cuts
from stream_app.pipeline import labels as labels_module
from stream_app.pipeline.serving import Serving
from stream_app.pipeline.window_records import CUT
from stream_app.testing.memory_clients import MemoryConsumer
from stream_app.testing.memory_kafka import MemoryKafka, assign, revoke
from stream_app.testing.tiny_model import glass_model
from tests.unit.stream_app.pipeline.rig import idle
from tests.unit.stream_app.pipeline.test_window_keeper import Killed, Ticking, compact, kill, seen
from tests.unit.stream_app.pipeline.test_window_keeper import worker as worker_of

pytestmark = pytest.mark.slow

START = datetime(2018, 7, 1, tzinfo=UTC)
LATER = START + timedelta(days=60)
HOUR = timedelta(hours=1)
WINDOWS = [
    Window("shop.id", "count", "1d", delay="4h"),
    Window("card", "count", "1d"),
    Window("shop.id", "mean", "2d", "label", "6h"),
    Window("device", "sum", "1d", "amount", "4h"),
    Window("card", "mean", "2d", "label", "6h"),
    Window("card", "mean", "1d", "amount"),
    Window("shop.id", "mean", "13d", "amount", "1d"),
]
LABELLED = LabelColumn("is_fraud")


def definition_of(windows: list[Window]) -> Definition:
    inputs = (Input("amount", "amount"), *(Input(f"w{n}", window=window) for n, window in enumerate(windows)))
    return complete(Definition("shops", EventFields("id", "at", "card"), inputs, LABELLED))


DEFINITION = definition_of(WINDOWS)
OTHERS_ALONE = definition_of([WINDOWS[0], WINDOWS[2]])
WEEKS = [Window("shop.id", "count", "7d", delay="7d"), Window("shop.id", "mean", "7d", "label", "7d")]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Serving]:
    folder, found = tmp_path_factory.mktemp("models"), {}
    for version, definition in (("1", DEFINITION), ("2", OTHERS_ALONE), ("3", definition_of(WEEKS))):
        ref = glass_model(folder / f"{version}.pt", version, definition)
        found[version] = Serving(artefact.load(folder / f"{version}.pt"), ref, None, f"command-{version}")
    return found


def worker(serving: Serving, kafka: MemoryKafka | None = None, **changes: int) -> Ticking:
    return worker_of(serving, kafka, window_max_entities=100, **changes)


class Traffic:
    """Three days of events in the order of time, and what became of them."""

    def __init__(self, rows: int = 300, partitions: int = 3, seed: int = 1, hours: int = 72) -> None:
        rng = np.random.default_rng(seed)
        seconds = np.sort(rng.integers(0, hours * 3600, rows))
        self.partitions = partitions
        self.frame = pl.DataFrame(
            {
                "time": [START + timedelta(seconds=int(s), microseconds=i) for i, s in enumerate(seconds)],
                "card": [f"c{rng.integers(7)}" for _ in range(rows)],
                "shop.id": [["1", "2", "3", None][rng.integers(4)] for _ in range(rows)],
                "device": [f"d{rng.integers(3)}" for _ in range(rows)],
                "amount": rng.lognormal(3, 1, rows).round(2),
                "label": (rng.random(rows) < 0.2).astype(float),
            }
        )
        self.hours = (seconds // 3600).tolist()
        self.published: dict[int, list[int]] = {p: [] for p in range(partitions)}

    def partition(self, row: int) -> int:
        """The last one has events now and then alone."""
        card = int(self.frame["card"][row][1:])
        return self.partitions - 1 if card == 0 and self.partitions > 1 else card % max(self.partitions - 1, 1)

    def publish(self, kafka: MemoryKafka, rows: range, labels: bool = True) -> None:
        """These events arrive, and soon after what became of each, at times contradicted before."""
        for row in rows:
            event = self.frame.row(row, named=True)
            value = {"id": str(row), "at": event["time"].isoformat(), "card": event["card"], "amount": event["amount"]}
            value |= {"device": event["device"], "shop": {"id": int(event["shop.id"])} if event["shop.id"] else {}}
            kafka.publish(self.partition(row), msgspec.json.encode(value), at=LATER, key=event["card"].encode())
            self.published[self.partition(row)].append(row)
            for fraud in (not event["label"], bool(event["label"]), bool(event["label"])) if labels else ():
                kafka.append("labels", msgspec.json.encode(self.label(row, fraud)))

    def label(self, row: int, fraud: bool) -> Label:
        event = self.frame.row(row, named=True)
        entities = {"shop.id": event["shop.id"]} if event["shop.id"] else {}
        return Label(str(row), fraud, LATER, entity=event["card"], event_time=event["time"], entities=entities)

    def expected(self, windows: list[Window] = WINDOWS) -> np.ndarray:
        """As training computes them of all events."""
        return windows_of(self.frame, windows, time="time", entity="card")

    def agree(self, kafka: MemoryKafka, windows: list[Window] = WINDOWS) -> None:
        wanted = self.expected(windows)
        for partition, rows in self.published.items():
            found = seen(kafka, partition)
            assert [*found] == [*range(len(rows))]
            for offset, row in enumerate(rows):
                np.testing.assert_array_equal(found[offset][1:], wanted[row], f"{partition}@{offset}, event {row}")

    def steps(self, rig: Ticking, hours: range, labels: bool = True):
        """Hour by hour the events arrive; in between, what is over is published and read."""

        def of(hour: int):
            rows = [row for row, at in enumerate(self.hours) if at == hour]
            return lambda _: self.publish(rig.kafka, range(rows[0], rows[-1] + 1) if rows else range(0), labels)

        return [step for hour in hours for step in (of(hour), idle)]


def records(kafka: MemoryKafka) -> list[tuple[bytes, int, int, int]]:
    """Key, offset, ring, hop until which, of what was published."""
    return [
        (m.key() or b"", *CUT.unpack_from(m.value()), *HEAD.unpack_from(m.value()[CUT.size :])[1::2])
        for m in kafka.visible["window-totals"]
    ]


def test_the_definitions_are_sound() -> None:
    assert not list(complaints(DEFINITION))
    assert not list(complaints(OTHERS_ALONE))


@pytest.mark.parametrize("partitions", [1, 3])
def test_the_stream_has_the_bits_of_training(models, partitions: int) -> None:
    traffic, rig = Traffic(partitions=partitions), worker(models["1"])
    rig.run(assign(*range(partitions)), *traffic.steps(rig, range(72)), idle, idle)
    traffic.agree(rig.kafka)
    expected = traffic.expected()[150:]
    assert (np.isfinite(expected).mean(axis=0) > 0.4).all()
    assert ((expected[:, [2, 4]] > 0) & (expected[:, [2, 4]] < 1)).any(axis=0).all()
    first = sum(hour == traffic.hours[0] for hour in traffic.hours)
    assert (rig.sample("window_incomplete_reads_total") or 0) <= 3 * first
    assert rig.sample("window_rebuild_seconds_count") == partitions


def test_windows_of_other_entities_alone_are_served(models) -> None:
    traffic, rig = Traffic(), worker(models["2"])
    rig.run(assign(0, 1, 2), *traffic.steps(rig, range(72)), idle, rig.later(2), idle, idle)
    again = worker(models["2"], rig.kafka)
    again.run(assign(0, 1, 2), idle, idle)
    traffic.agree(rig.kafka, [WINDOWS[0], WINDOWS[2]])


def test_nothing_is_published_twice(models) -> None:
    traffic, rig = Traffic(), worker(models["1"])
    rig.run(assign(0, 1, 2), *traffic.steps(rig, range(40)), idle)
    again = worker(models["1"], rig.kafka)
    again.run(assign(0, 1, 2), *traffic.steps(again, range(40, 72)), idle)
    published = records(rig.kafka)
    assert len({(key, ring, until) for key, _, ring, until in published}) == len(published) > 100


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_kill_gives_the_same_bits(models, data: st.DataObject) -> None:
    partitions = data.draw(st.integers(1, 4))
    traffic, kafka, hour = Traffic(rows=150, partitions=partitions, seed=data.draw(st.integers(0, 9))), None, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuts, "MOST_RECORDS", data.draw(st.sampled_from([1, 3, 2000])))
        while hour < 72:
            rig = worker(models["1"], kafka, batch_max_events=data.draw(st.sampled_from([3, 50, 1000])))
            kafka, end = rig.kafka, min(hour + data.draw(st.integers(1, 40)), 72)
            for partition in range(partitions):
                kafka.input[partition]  # a log without records
            steps = [step for some in traffic.steps(rig, range(hour, end)) for step in (some, rig.later(0.4), idle)]
            mid = [kill] if data.draw(st.booleans()) else [*[idle] * 8, kill]
            with pytest.raises(Killed):
                rig.run(assign(*range(partitions)), *steps, *mid)
            if data.draw(st.booleans()):
                compact(kafka)
            hour = end
        last = worker(models["1"], kafka)
        last.run(assign(*range(partitions)), *[idle] * 20)
    traffic.agree(kafka)


def test_a_partition_without_events_does_not_hold_the_others_up(models) -> None:
    traffic, rig = Traffic(partitions=1), worker(models["1"])
    rig.kafka.input[1]
    rig.run(assign(0, 1), *traffic.steps(rig, range(72)), idle)
    first = sum(hour == traffic.hours[0] for hour in traffic.hours)
    assert rig.sample("window_incomplete_reads_total") <= 3 * first
    traffic.agree(rig.kafka)
    assert rig.kafka.committed[1] == 0


def test_a_partition_that_nobody_reads_is_counted_as_incomplete(models) -> None:
    traffic, rig = Traffic(partitions=1), worker(models["1"])
    rig.kafka.input[1]
    rig.run(assign(0), *traffic.steps(rig, range(72)), idle)
    assert rig.sample("window_incomplete_reads_total") > 100


def test_what_another_worker_publishes_counts_here(models) -> None:
    """Each has one partition; they take turns by the hour."""
    traffic, kafka = Traffic(partitions=2), MemoryKafka()
    for partition in range(2):
        kafka.input[partition]
    for hour in range(72):
        rows = [row for row, at in enumerate(traffic.hours) if at == hour]
        traffic.publish(kafka, range(rows[0], rows[-1] + 1) if rows else range(0))
        for mine in (hour % 2, 1 - hour % 2)[: 1 if hour % 3 else 2]:
            worker(models["1"], kafka).run(assign(mine), *[idle] * 4)
    for mine in (0, 1):
        worker(models["1"], kafka).run(assign(mine), *[idle] * 4)
    traffic.agree(kafka)


def unknown_log(models) -> tuple[Traffic, Ticking, dict[int, int]]:
    """A model with windows begins on a log that others have read: nothing of it is on `window-totals` yet."""
    traffic, rig = Traffic(partitions=4), worker(models["1"])
    history = sum(hour < 60 for hour in traffic.hours)
    traffic.publish(rig.kafka, range(history))
    since = {partition: len(log) for partition, log in rig.kafka.input.items()}
    rig.kafka.committed |= since
    rig.kafka.metadata |= dict.fromkeys(since, "topic-1")
    traffic.publish(rig.kafka, range(history, len(traffic.hours)))
    return traffic, rig, since


def whole_at_first(traffic: Traffic, rig: Ticking, since: dict[int, int]) -> None:
    """The first event of each partition sees all; what the others publish of those after it comes when it comes."""
    for partition, rows in traffic.published.items():
        found = seen(rig.kafka, partition)
        assert [*found] == [*range(since[partition], len(rows))]
        wanted = traffic.expected()[rows[since[partition]]]
        np.testing.assert_array_equal(found[since[partition]][1:], wanted, f"partition {partition}")


@pytest.mark.parametrize("steps", [[], [idle, revoke(2), idle, assign(2)], [*[idle] * 3, revoke(0), assign(0)]])
def test_none_is_served_before_all_that_a_worker_has_taken_have_published(models, steps) -> None:
    traffic, rig, since = unknown_log(models)
    rig.kafka.input[4]  # a log without records
    traffic.published[4], since[4] = [], 0
    rig.run(assign(0, 1, 2, 3, 4), *steps, *[idle] * 30)
    del traffic.published[4]
    whole_at_first(traffic, rig, since)
    assert rig.sample("window_partitions_waiting") == 0


def test_what_is_not_read_back_holds_partitions_up_for_a_while_and_is_told(models) -> None:
    """Somebody holds a transaction open on `window-totals`, longer than brokers allow."""
    _, rig, since = unknown_log(models)
    rig.kafka.held_up.add("window-totals")
    held: list[object] = []
    look = rig.look(lambda: (rig.progress.latest.state, rig.sample("window_partitions_waiting")), held)
    rig.run(assign(0, 1, 2, 3), *[idle] * 10, rig.later(44), idle, look, rig.later(2), *[idle] * 10, look)
    assert held == [("reading back what partitions [0, 1, 2, 3] know of other entities", 4), ("running", 0)]
    assert {partition: min(seen(rig.kafka, partition)) for partition in since} == since
    assert any("was not read back from `window-totals` within 45 s" in n.sentence for n in rig.progress.latest.notices)
    assert rig.sample("window_incomplete_reads_total") > 0


def test_a_partition_whose_worker_was_away_for_days_is_served_with_all_that_it_looks_at(models) -> None:
    """The others are days ahead, and their hours have been published."""
    traffic, kafka = Traffic(rows=900, partitions=3, hours=24 * 24), None
    for hours, mine in ((range(24 * 19), (0, 1, 2)), (range(24 * 19, 24 * 24), (1, 2)), (range(0), (0, 1, 2))):
        rig = worker(models["3"], kafka)
        kafka = rig.kafka
        rig.run(assign(*mine), *traffic.steps(rig, hours), *[idle] * 10)
    traffic.agree(rig.kafka, WEEKS)
    assert not rig.sample("window_incomplete_reads_total")


def test_a_partition_that_moves_is_published_by_its_new_owner(models) -> None:
    traffic, rig = Traffic(partitions=2), worker(models["1"])
    rig.run(assign(0, 1), *traffic.steps(rig, range(30)), revoke(1), idle, idle)
    before = [key for key, *_ in records(rig.kafka)]
    other = worker(models["1"], rig.kafka)
    other.run(assign(0, 1), *traffic.steps(other, range(30, 72)), idle)
    traffic.agree(rig.kafka)
    assert {key for key, *_ in records(rig.kafka)} == set(before)


def test_a_group_that_was_set_back_publishes_nothing_again(models) -> None:
    traffic, rig = Traffic(partitions=1), worker(models["1"])
    rig.run(assign(0), *traffic.steps(rig, range(50)), idle, rig.later(2), idle, idle)
    published = len(records(rig.kafka))
    rig.kafka.committed[0] = 60
    rig.kafka.visible["latents"] = rig.kafka.visible["latents"][:60]
    again = worker(models["1"], rig.kafka)
    again.run(assign(0), *[idle] * 4, *traffic.steps(again, range(50, 72)), idle)
    kept = records(rig.kafka)
    assert len({(key, ring, until) for key, _, ring, until in kept}) == len(kept) > published


def test_records_that_no_worker_wrote_are_passed_over(models) -> None:
    traffic, rig = Traffic(partitions=1), worker(models["1"])
    rig.run(assign(0), *traffic.steps(rig, range(30)), idle)
    for value, key in ((b"", b""), (b"x" * 40, records(rig.kafka)[0][0]), (b"x", records(rig.kafka)[0][0])):
        rig.kafka.append("window-totals", value)
        rig.kafka.visible["window-totals"][-1].keyed(key)
    rig.kafka.append("labels", b"{", b'{"event_id": "1"}')
    again = worker(models["1"], rig.kafka)
    again.run(assign(0), *traffic.steps(again, range(30, 72)), idle)
    traffic.agree(rig.kafka)


def test_a_model_with_other_windows_serves_once_what_the_log_has_is_published(models) -> None:
    traffic, rig = Traffic(), worker(models["2"])
    steps = traffic.steps(rig, range(60))
    rig.run(assign(0, 1, 2), *steps, rig.swap(models["1"]), *[idle] * 8, *traffic.steps(rig, range(60, 72)), idle)
    assert [status.serving.version for status in rig.statuses][-2:] == ["2", "1"]
    since, wanted = rig.statuses[-1].barriers, traffic.expected()
    compared = 0
    for partition, rows in traffic.published.items():
        for offset, inputs in seen(rig.kafka, partition).items():
            if offset >= since[str(partition)]:
                np.testing.assert_array_equal(inputs[1:], wanted[rows[offset]])
                compared += 1
    assert compared > 20


def test_labels_without_what_windows_need_are_counted_by_reason(models) -> None:
    rig = worker(models["2"])
    whole = Label("1", True, LATER, entity="c1", event_time=START, entities={"shop.id": "1"})
    nothing = {"no_time": {"event_time": None}, "no_entity": {"entities": {}}}

    def labels(_: MemoryConsumer) -> None:
        for change in ({}, *nothing.values(), {"fraud": False, "event_time": None}):
            rig.kafka.append("labels", msgspec.json.encode(msgspec.structs.replace(whole, **change)))

    traffic = Traffic()
    first, later = traffic.steps(rig, range(3), labels=False), traffic.steps(rig, range(3, 6), labels=False)
    rig.run(assign(0, 1, 2), *first, labels, *later, idle)
    assert rig.sample("window_labels_left_out_total", reason="no_time") == 1
    assert rig.sample("window_labels_left_out_total", reason="no_entity") == 1


def labels(rig: Ticking, *given: Label):
    """These arrive."""
    return lambda _: rig.kafka.append("labels", *map(msgspec.json.encode, given))


def test_a_label_counts_once_its_shop_is_known_to_have_had_an_event_that_day(models) -> None:
    """Of two that are nobody's, one is taken back; those of events whose partition has not published wait, too."""
    rig, traffic, unknown = worker(models["2"]), Traffic(partitions=2), list[object]()
    closed = Label("never", True, LATER, entity="c1", event_time=START, entities={"shop.id": "9"})
    early = Label("early", True, LATER, entity="c1", event_time=START - 24 * HOUR, entities={"shop.id": "1"})
    taken_back = msgspec.structs.replace(early, fraud=False)
    look, steps = rig.look(lambda: rig.sample("window_labels_unknown"), unknown), traffic.steps(rig, range(72))
    wrong, right = labels(rig, closed, early), labels(rig, taken_back)
    rig.run(assign(0, 1), *steps[:20], wrong, *steps[20:60], look, right, *steps[60:], idle, look)
    assert unknown == [2, 1]
    traffic.agree(rig.kafka, [WINDOWS[0], WINDOWS[2]])
    assert rig.sample("window_labels_left_out_total", reason="unknown") == 0


def test_labels_of_no_event_are_forgotten_once_no_window_reaches_them(models, monkeypatch) -> None:
    monkeypatch.setattr(labels_module, "LEAST_PRUNED", 1)
    rig, traffic = worker(models["2"]), Traffic()
    none = [
        Label(f"s{n}", True, LATER, entity="c1", event_time=START - n * 24 * HOUR, entities={"shop.id": "9"})
        for n in range(3)
    ]
    first, later = traffic.steps(rig, range(3)), traffic.steps(rig, range(3, 72))
    rig.run(assign(0, 1, 2), *first, labels(rig, *none), *later, idle)
    left_out = rig.sample("window_labels_left_out_total", reason="unknown")
    assert left_out
    assert rig.sample("window_labels_unknown") == 3 - left_out
    traffic.agree(rig.kafka, [WINDOWS[0], WINDOWS[2]])
