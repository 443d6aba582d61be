"""What is read again has the windows that the stream had, from whichever offset it begins."""

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from models import artefact
from stream_app.pipeline.serving import Serving
from stream_app.replay.log_decoder import LogDecoder
from stream_app.report.rows import rescored
from stream_app.testing.memory_kafka import MemoryKafka, assign
from stream_app.testing.tiny_model import glass_model
from tests.unit.stream_app.pipeline import test_other_entities as others
from tests.unit.stream_app.pipeline.rig import idle
from tests.unit.stream_app.pipeline.test_window_keeper import checkpoint, models, part, seen, worker

__all__ = ["models"]  # a fixture
EVENTS = 600


@pytest.fixture(scope="module")
def scored(models):
    """A log that a worker has scored, with a checkpoint at 300."""
    first = worker(models["1"])
    first.run(assign(0), part(first, 0, 300), idle, first.later(2), *[idle] * 3, part(first, 300, EVENTS), idle, idle)
    assert checkpoint(first.kafka, first).cut == 300
    return first


def again(scored, models, start: int, batch: int = 37) -> tuple[LogDecoder, dict[int, np.ndarray]]:
    """The inputs of each offset from one on, read again."""
    decode, found = LogDecoder(scored.settings, models["1"].runtime.manifest, kafka=scored.kafka), {}
    records = scored.kafka.input[0][start:]
    for at in range(0, len(records), batch):
        decoded = decode(records[at : at + batch])
        found |= dict(zip((decoded.rows + start + at).tolist(), decoded.inputs, strict=True))
    return decode, found


@pytest.mark.parametrize("start", [0, 120, 300, 350])
def test_the_values_are_those_of_the_stream_wherever_it_begins(scored, models, start) -> None:
    decode, found = again(scored, models, start)
    then = seen(scored.kafka)
    assert [*found] == [*range(start, EVENTS)]
    for offset, inputs in found.items():
        np.testing.assert_array_equal(inputs, then[offset], str(offset))
    assert (decode.short, decode.remark) == (0, "")


def test_a_record_before_a_checkpoint_is_not_seen_with_what_came_after_it(scored, models) -> None:
    _, found = again(scored, models, 250, batch=1)
    np.testing.assert_array_equal(found[250], seen(scored.kafka)[250])


@pytest.fixture
def shortened(scored):
    """The first hundred records are gone."""
    scored.kafka.delete_records(0, 100)
    yield scored
    scored.kafka.delete_records(0, 0)


def test_where_the_log_no_longer_reaches_back_it_says_so_and_knows_which_events_are_whole(shortened, models) -> None:
    decode, found = again(shortened, models, 120)
    then = seen(shortened.kafka)
    events = {offset: msgspec.json.decode(shortened.kafka.input[0][offset].value()) for offset in range(100, EVENTS)}
    begins = msgspec.convert(events[100]["at"], type=type(decode.begins[0]))
    assert decode.begins == {0: begins}
    wholes = [o for o in found if decode.is_whole(0, msgspec.convert(events[o]["at"], type=type(begins)))]
    assert 0 < len(wholes) < len(found)
    for offset in wholes:
        np.testing.assert_array_equal(found[offset], then[offset], str(offset))
    differ = [o for o in found if not np.array_equal(found[o], then[o], equal_nan=True)]
    assert differ
    assert decode.short == len(found) - len(wholes)
    assert f"now begins {begins:%Y-%m-%d %H:%M} UTC, and the windows look back 31 days" in decode.remark
    assert f"not there for {decode.short:,} events" in decode.remark
    assert decode.reach == timedelta(days=31)


def test_a_report_of_every_nth_event_has_the_windows_of_all_before(scored, models) -> None:
    manifest, kafka = models["1"].runtime.manifest, scored.kafka
    decode = LogDecoder(scored.settings, manifest, kafka=kafka)
    names, values, times = rescored(models["1"].runtime, decode, kafka.input[0][50:], 7, lambda _: True)
    wanted = [offset for offset in range(50, EVENTS) if offset % 7 == 0]
    then = seen(kafka)
    assert len(values) == len(times) == len(wanted)
    for row, offset in enumerate(wanted):
        np.testing.assert_array_equal(values[row, : len(manifest.inputs)], then[offset], str(offset))
    assert names[: len(manifest.inputs)] == [entry.name for entry in manifest.inputs]


def test_a_model_without_windows_needs_no_past(tmp_path) -> None:
    from stream_app.settings import Settings
    from stream_app.testing.tiny_model import tiny_manifest
    from tests.unit.stream_app.pipeline.rig import USUAL

    kafka = MemoryKafka()
    kafka.publish(0, USUAL)
    decoded = LogDecoder(Settings(), tiny_manifest("1"), kafka=kafka)(kafka.input[0])
    assert (len(decoded.rows), kafka.consumers) == (1, [])


def test_windows_of_other_entities_and_of_labels_are_those_of_the_stream(tmp_path) -> None:
    """Partition after partition, in one go: each goes through the time of its own events."""
    traffic, kept = others.Traffic(rows=200), tmp_path / "shops.pt"
    ref = glass_model(kept, "1", others.DEFINITION)
    rig = others.worker(Serving(artefact.load(kept), ref, None, "command-1"))
    rig.run(assign(0, 1, 2), *traffic.steps(rig, range(72)), idle, idle)
    traffic.agree(rig.kafka)
    decode = LogDecoder(rig.settings, rig.serving.runtime.manifest, kafka=rig.kafka)
    for partition, log in rig.kafka.input.items():
        then, decoded = seen(rig.kafka, partition), decode(log)
        for row, inputs in zip(decoded.rows.tolist(), decoded.inputs, strict=True):
            np.testing.assert_array_equal(inputs, then[row], f"{partition}@{row}")
