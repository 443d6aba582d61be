"""Windows over a whole pipeline: every value is what the log says, whatever happens to the worker in between."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from confluent_kafka import KafkaError
from msgspec.structs import replace

from models import artefact
from schemas.scoring import Latent
from stream_app.pipeline import cuts
from stream_app.pipeline.decode import Decoder
from stream_app.pipeline.enrich import Windows, fill
from stream_app.pipeline.serving import SecondModel, Serving
from stream_app.pipeline.window_records import MARK, Checkpoint, prefix
from stream_app.testing.memory_clients import MemoryConsumer, Step
from stream_app.testing.memory_kafka import MemoryKafka, assign, error, lose, revoke
from stream_app.testing.tiny_model import UNSEEN, glass_model
from tests.unit.stream_app.pipeline.rig import Rig, idle
from tests.unit.stream_app.pipeline.test_enrich import DEFINITION, LATER, LIMIT, batches, decode, lines

OTHER = replace(DEFINITION, inputs=(*DEFINITION.inputs[:2], DEFINITION.inputs[3], DEFINITION.inputs[8]))
LOG = lines(600)
EVERY_S = 1.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Serving]:
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for version, definition in (("1", DEFINITION), ("2", OTHER)):
        ref = glass_model(folder / f"{version}.pt", version, definition)
        found[version] = Serving(artefact.load(folder / f"{version}.pt"), ref, None, f"command-{version}")
    return found


class Ticking(Rig):
    """A rig in which each poll takes a while, after which what was done is committed."""

    def run(self, *script: Step) -> None:
        super().run(*(step for entry in script for step in (entry, self.later(0.01))))


def worker(serving: Serving, kafka: MemoryKafka | None = None, **settings: object) -> Ticking:
    """A worker on a cluster that may have seen others; all that it sees is on `latents`."""
    rig = Ticking(serving, publish_latents=True, window_checkpoint_s=EVERY_S, commit_interval_ms=1, **settings)
    if kafka is not None:
        rig.kafka = kafka
        rig.pipeline._kafka, rig.pipeline._recall = kafka, kafka.recall  # another process on the same cluster
    return rig


def publish(kafka: MemoryKafka, values: list[bytes], partition: int = 0, key: bytes | None = None) -> None:
    for value in values:
        entity = msgspec.json.decode(value)["card"]["token"].encode()
        kafka.publish(partition, value, at=LATER, key=key or entity)


def expected(values: list[bytes], definition=DEFINITION) -> np.ndarray:
    """Inputs of each event of one partition, computed at once."""
    own_decode = decode if definition is DEFINITION else Decoder(definition, LIMIT)
    own = Windows(definition, "topic", own_decode, 1000)
    own.states, own.reached = {0: own.empty()}, {0: 0}
    (raw,) = batches(list(values), [], [0] * len(values))
    decoded = own_decode(raw)
    return fill(decoded, definition, own.step(raw, decoded)).inputs


def seen(kafka: MemoryKafka, partition: int = 0) -> dict[int, np.ndarray]:
    """What the model saw at each offset; each once."""
    found: dict[int, np.ndarray] = {}
    for latent in kafka.records("latents", Latent):
        if latent.source.partition == partition:
            assert latent.source.offset not in found
            inputs = np.array(latent.latent, dtype=np.float32)
            found[latent.source.offset] = np.where(inputs == UNSEEN, np.float32("nan"), inputs)
    return found


def agree(kafka: MemoryKafka, values: list[bytes], partition: int = 0, since: int = 0, definition=DEFINITION) -> None:
    found, wanted = seen(kafka, partition), expected(values, definition)
    assert [*found] == [*range(len(values))]
    for offset in range(since, len(values)):
        np.testing.assert_array_equal(found[offset], wanted[offset], str(offset))


def checkpoint(kafka: MemoryKafka, rig: Rig, partition: int = 0, definition=DEFINITION) -> Checkpoint:
    print_of = Windows(definition, str(kafka.topic_id), decode, 10).fingerprint
    found = Checkpoint(prefix(print_of, partition))
    for message in kafka.visible["window-state"]:
        header = dict(message.headers() or ()).get("cut")
        found.add(message.key(), message.value(), header)
    return found


def part(rig: Rig, start: int, end: int, partition: int = 0):
    """These events arrive."""
    return lambda _: publish(rig.kafka, LOG[start:end], partition)


def test_a_restart_goes_on_from_the_checkpoint_and_the_log(models) -> None:
    first = worker(models["1"])
    first.run(assign(0), part(first, 0, 200), idle, first.later(2), part(first, 200, 300), *[idle] * 4)
    found = checkpoint(first.kafka, first)
    assert (found.cut, len(found.settled)) == (200, 7)
    assert found.entities == 7
    second = worker(models["1"], first.kafka)
    second.run(assign(0), part(second, 300, 450), idle, idle)
    agree(first.kafka, LOG[:450])
    assert any(
        "know nothing before" in notice.sentence or "begin without a past" in notice.sentence
        for notice in first.progress.latest.notices
    )
    assert not second.progress.latest.notices


def test_without_a_checkpoint_the_log_is_counted_from_its_beginning(models) -> None:
    first = worker(models["1"])
    first.run(assign(0), part(first, 0, 200), idle, idle)
    second = worker(models["1"], first.kafka)
    second.run(assign(0), part(second, 200, 300), idle, idle)
    agree(first.kafka, LOG[:300])


def test_what_was_counted_and_not_committed_is_counted_once(models) -> None:
    rig = worker(models["1"])
    rig.kafka.faults["commit_transaction"].extend([None, None, error(KafkaError._TIMED_OUT)])
    rig.run(
        assign(0), part(rig, 0, 100), idle, part(rig, 100, 200), idle, part(rig, 200, 300), idle, assign(0), *[idle] * 6
    )
    assert rig.sample("sessions_reopened_total", cause="timed_out") == 1
    agree(rig.kafka, LOG[:300])


@pytest.mark.parametrize("how", [revoke, lose])
def test_a_partition_that_was_elsewhere_has_what_was_counted_there(models, how) -> None:
    rig = worker(models["1"])
    rig.run(assign(0, 1), part(rig, 0, 100), part(rig, 0, 80, 1), idle, how(0), part(rig, 80, 90, 1), idle)
    other = worker(models["1"], rig.kafka)
    other.run(assign(0), part(other, 100, 200), idle, idle)
    back = worker(models["1"], rig.kafka)
    back.run(assign(0, 1), part(back, 200, 260), part(back, 90, 100, 1), *[idle] * 6)
    agree(rig.kafka, LOG[:260])
    agree(rig.kafka, LOG[:100], partition=1)


def test_a_cut_that_was_not_finished_is_harmless(models, monkeypatch) -> None:
    """Compaction has removed what its records replaced; the replay meets them at their offset."""
    monkeypatch.setattr(cuts, "MOST_RECORDS", 3)
    first = worker(models["1"])
    first.run(assign(0), part(first, 0, 200), idle, first.later(2), *[idle] * 8)
    whole = checkpoint(first.kafka, first)
    assert whole.cut == 200
    second = worker(models["1"], first.kafka)
    with pytest.raises(Killed):
        second.run(assign(0), part(second, 200, 300), idle, second.later(2), idle, kill)
    unfinished = checkpoint(first.kafka, first)
    assert unfinished.cut == 200
    ((cut, records),) = unfinished.later()
    assert cut == 300
    assert 0 < len(records) < 7
    compact(first.kafka)
    assert len(checkpoint(first.kafka, first).settled) == 7 - len(records)
    third = worker(models["1"], first.kafka)
    third.run(assign(0), part(third, 300, 450), idle, idle)
    agree(first.kafka, LOG[:450])
    assert not third.progress.latest.notices


class Killed(BaseException):
    """The process is gone."""


def kill(_: MemoryConsumer) -> None:
    raise Killed


def compact(kafka: MemoryKafka) -> None:
    """Of each key only the newest record is left."""
    newest = {message.key(): message for message in kafka.visible["window-state"]}
    kafka.visible["window-state"] = sorted(newest.values(), key=lambda message: message.offset())


def test_a_group_that_was_set_back_counts_the_log_again(models) -> None:
    first = worker(models["1"])
    first.run(assign(0), part(first, 0, 300), idle, first.later(2), *[idle] * 3)
    assert checkpoint(first.kafka, first).cut == 300
    first.kafka.committed[0] = 120
    first.kafka.visible["latents"] = [
        message
        for message, latent in zip(first.kafka.visible["latents"], first.kafka.records("latents", Latent), strict=True)
        if latent.source.offset < 120
    ]
    second = worker(models["1"], first.kafka)
    second.run(assign(0), idle, idle)
    agree(first.kafka, LOG[:300])


def test_a_group_that_was_set_back_and_is_killed_knows_nothing_of_what_it_has_not_counted_again(models) -> None:
    """The entities of the checkpoint before are those of later offsets."""
    first = worker(models["1"])
    publish(first.kafka, with_a_stranger())
    first.run(assign(0), idle, first.later(2), *[idle] * 3)
    assert (checkpoint(first.kafka, first).cut, len(checkpoint(first.kafka, first).settled)) == (241, 8)
    first.kafka.committed[0] = 0
    first.kafka.visible["latents"].clear()
    second = worker(models["1"], first.kafka, batch_max_events=30)
    with pytest.raises(Killed):
        second.run(assign(0), second.later(2), *[idle] * 2, kill)
    found = checkpoint(first.kafka, second)
    assert found.cut < 200
    assert len(found.settled) == 7
    third = worker(models["1"], first.kafka)
    third.run(assign(0), idle, idle)
    agree(first.kafka, with_a_stranger())


def with_a_stranger() -> list[bytes]:
    stranger = msgspec.json.decode(LOG[200]) | {"id": "stranger", "card": {"token": "stranger"}}
    return [*LOG[:200], msgspec.json.encode(stranger), *LOG[200:240]]


def test_a_checkpoint_of_a_topic_that_is_gone_is_none(models) -> None:
    first = worker(models["1"])
    first.run(assign(0), part(first, 0, 300), idle, first.later(2), *[idle] * 3)
    first.kafka.make_again("topic-2")
    first.kafka.visible["latents"].clear()
    second = worker(models["1"], first.kafka)
    second.run(assign(0), part(second, 300, 400), idle, idle)
    agree(first.kafka, LOG[300:400])


def test_records_that_no_windows_wrote_are_passed_over_and_a_broken_checkpoint_is_none(models) -> None:
    first = worker(models["1"])
    first.run(assign(0), part(first, 0, 200), idle, first.later(2), *[idle] * 3)
    fingerprint = Windows(DEFINITION, "topic-1", decode, 10).fingerprint
    log = first.kafka.visible["window-state"]
    mark = prefix(fingerprint, 0)
    for key, value in ((None, b"x"), (b"x", None), (mark, b"short"), (mark + b"k", b"")):
        first.kafka.append("window-state", value or b"")
        log[-1].keyed(key or b"")
    first.kafka.append("window-state", log[0].value()[:-8])
    log[-1].keyed(log[0].key())
    first.kafka.append("window-state", MARK.pack(200, 7))
    log[-1].keyed(mark)
    second = worker(models["1"], first.kafka)
    second.run(assign(0), part(second, 200, 300), idle, idle)
    agree(first.kafka, LOG[:300])


def test_a_model_with_other_windows_serves_once_they_have_caught_up(models) -> None:
    rig = worker(models["1"])
    rig.run(
        assign(0),
        part(rig, 0, 200),
        idle,
        rig.swap(models["2"]),
        part(rig, 200, 260),
        *[idle] * 3,
        part(rig, 260, 300),
        idle,
        idle,
    )
    assert [status.serving.version for status in rig.statuses][-2:] == ["1", "2"]
    since = rig.statuses[-1].barriers["0"]
    assert 200 <= since <= 260
    found, one, two = seen(rig.kafka), expected(LOG[:300]), expected(LOG[:300], OTHER)
    assert sorted(found) == [*range(300)]
    for offset in range(300):
        np.testing.assert_array_equal(found[offset], one[offset] if offset < since else two[offset])


@pytest.mark.parametrize("first", ["1", "2"])
def test_a_canary_with_other_windows_sees_its_own(models, first) -> None:
    second = models["2" if first == "1" else "1"]
    beside = SecondModel("trial", second.runtime, second.model, 50.0, True)
    rig = worker(models[first])
    rig.run(
        assign(0),
        part(rig, 0, 200),
        idle,
        rig.swap(replace_second(models[first], beside)),
        part(rig, 200, 300),
        *[idle] * 4,
        part(rig, 300, 400),
        idle,
        idle,
    )
    found, one, two = seen(rig.kafka), expected(LOG[:400]), expected(LOG[:400], OTHER)
    assert len(found) == 400
    assert {len(inputs) for inputs in found.values()} == {one.shape[1], two.shape[1]}
    for offset, inputs in found.items():
        np.testing.assert_array_equal(inputs, one[offset] if len(inputs) == one.shape[1] else two[offset])
    assert rig.sample("second_model_rows_total", outcome="failed") == 0


def replace_second(serving: Serving, second: SecondModel) -> Serving:
    return Serving(serving.runtime, serving.model, serving.previous, "command-3", second)


def test_figures_tell_what_is_held_and_that_keys_are_not_entities(models) -> None:
    rig = worker(models["1"], window_max_entities=4)
    publish(rig.kafka, LOG[:300], key=b"c")
    rig.run(assign(0), idle, idle, rig.later(2), *[idle] * 3)
    assert rig.sample("window_entities") == 4
    assert rig.sample("window_entities_forgotten_total") > 3
    assert rig.sample("window_bytes") > 0
    assert rig.sample("window_keyed_otherwise_total") == 300
    assert rig.sample("window_rebuild_seconds_count") == 1
    assert any("keyed by the entity" in notice.sentence for notice in rig.progress.latest.notices)


def test_what_is_counted_again_from_the_log_is_no_figure(models) -> None:
    late = [*LOG[100:140], *LOG[:20]]
    rig = worker(models["1"])
    publish(rig.kafka, late)
    rig.run(assign(0), idle, idle)
    counted = rig.sample("window_late_events_total")
    assert counted > 0
    again = worker(models["1"], rig.kafka)
    again.run(assign(0), part(again, 200, 220), idle, idle)
    assert again.sample("window_entities") == 7
    assert again.sample("window_late_events_total") == 0


def test_windows_that_were_wanted_for_a_while_are_let_go(models) -> None:
    rig, held = worker(models["1"]), []
    look = rig.look(lambda: rig.sample("window_entities"), held)
    rig.run(
        assign(0),
        part(rig, 0, 100),
        idle,
        look,
        rig.swap(models["2"]),
        rig.swap(models["1"]),
        *[idle] * 3,
        part(rig, 100, 150),
        idle,
        look,
    )
    assert held[0] == held[1] == 7
    agree(rig.kafka, LOG[:150])


def test_nothing_is_written_while_nothing_changes(models) -> None:
    rig = worker(models["1"])
    rig.run(assign(0), part(rig, 0, 50), idle, rig.later(2), *[idle] * 3)
    written = len(rig.kafka.visible["window-state"])
    assert written == 8
    rig.kafka.script.clear()
    again = worker(models["1"], rig.kafka)
    again.run(assign(0), idle, again.later(5), idle, again.later(5), idle, idle)
    assert len(rig.kafka.visible["window-state"]) == written


def test_an_idle_partition_is_checkpointed_too(models) -> None:
    rig = worker(models["1"])
    rig.run(assign(0), part(rig, 0, 50), idle, *[idle] * 3, rig.later(2), *[idle] * 3)
    assert checkpoint(rig.kafka, rig).cut == 50


def test_models_of_this_test_do_see_windows(models, tmp_path: Path) -> None:
    assert np.isfinite(expected(LOG)[100:]).mean() > 0.6
