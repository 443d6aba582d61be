"""The checkpoint of windows beside what the log alone gives."""

import struct

import pytest

from stream_app.pipeline.window_records import CUT
from stream_app.testing.memory_kafka import assign
from stream_app.verify.windows import verify_windows
from tests.unit.stream_app.cli.test_cli_past_of_file import BEFORE, history, start_of, warmed
from tests.unit.stream_app.pipeline.rig import idle
from tests.unit.stream_app.pipeline.test_window_keeper import LOG, models, part, publish, worker

__all__ = ["history", "models"]  # fixtures
EVENTS = 300


@pytest.fixture
def checked(models):
    """A log with a checkpoint of its first events, and how it is verified."""
    rig = worker(models["1"])
    rig.run(assign(0), part(rig, 0, EVENTS), idle, rig.later(2), *[idle] * 3, part(rig, EVENTS, 400), idle)

    def verify():
        (found,) = verify_windows(rig.settings, models["1"].runtime.manifest, kafka=rig.kafka)
        return found

    return rig.kafka, verify


def test_a_checkpoint_is_what_the_log_gives(checked) -> None:
    _, verify = checked
    found = verify()
    assert (found.cut, found.entities, found.differing, found.unverifiable, found.examples) == (EVENTS, 7, 0, 0, [])


def test_a_value_that_is_not_is_named_with_its_entity_and_its_window(checked) -> None:
    kafka, verify = checked
    log = kafka.visible["window-state"]
    at = next(i for i, message in enumerate(log) if len(message.key()) == 20 and message.value())
    block = bytearray(log[at].value()[CUT.size :])
    for place in range(0, len(block), 8):  # every sum: nothing else reads as a number of this size
        number = struct.unpack_from("<d", block, place)[0]
        if 0.1 < abs(number) < 1e6:
            struct.pack_into("<d", block, place, number + 1.0)
    kafka.append("window-state", log[at].value()[: CUT.size] + bytes(block))
    log[-1].keyed(log[at].key())
    log[:] = [*log[:at], log[-1], *log[at + 1 : -1]]
    found = verify()
    assert found.differing == 1
    assert {example.entity for example in found.examples} <= {f"c{n}" for n in range(7)}
    assert {example.window for example in found.examples} <= {f"w{n}" for n in range(11)}
    assert all(example.checkpoint != example.log for example in found.examples)


def test_where_the_log_no_longer_reaches_back_nothing_is_called_broken(checked) -> None:
    kafka, verify = checked
    kafka.delete_records(0, 100)
    found = verify()
    assert (found.differing, found.unverifiable) == (0, 7)


def test_a_lost_entity_is_found_though_the_log_is_cut(checked, models) -> None:
    kafka, verify = checked
    kafka.delete_records(0, 1)
    log = kafka.visible["window-state"]
    at = next(i for i, message in enumerate(log) if len(message.key()) == 20 and message.value())
    del log[at]
    assert verify().differing == 1


def test_without_a_checkpoint_there_is_nothing_to_compare(models) -> None:
    rig = worker(models["1"])
    rig.run(assign(0), part(rig, 0, 50), idle)
    (found,) = verify_windows(rig.settings, models["1"].runtime.manifest, kafka=rig.kafka)
    assert (found.cut, found.entities) == (None, 0)


def test_what_a_file_gave_is_not_called_broken(models, history) -> None:
    rig, values = worker(models["1"]), LOG[BEFORE:]
    warmed(rig.kafka, history, start_of(values))
    publish(rig.kafka, values[:100])
    rig.run(assign(0), idle, rig.later(2), *[idle] * 3)
    (found,) = verify_windows(rig.settings, models["1"].runtime.manifest, kafka=rig.kafka)
    assert (found.cut, found.differing, found.unverifiable) == (100, 0, 7)
