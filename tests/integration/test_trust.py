"""On a real Kafka where signatures are required: what trusted keys sign takes effect, all else is refused on record."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.signing import SigningKey, new_key, sign_artefact
from schemas import topics as declared
from schemas.topics import AUDIT, MODEL_SWAP
from stream_app.kafka import clients, topics
from stream_app.kafka.log import read_to_end
from stream_app.rollout import commands
from stream_app.rollout.client import Order
from stream_app.settings import Settings, Signatures
from stream_app.testing.tiny_model import tiny_model
from tests.traffic import committed_records
from tests.workers import Worker, running

pytestmark = pytest.mark.kafka
Wait = Callable[..., None]


@pytest.fixture
def ann(tmp_path: Path) -> SigningKey:
    return new_key(tmp_path / "ann.key")


@pytest.fixture
def strict(settings: Settings, tmp_path: Path, ann: SigningKey) -> Settings:
    """What operators and workers share: signatures required; they sign with keys of their own."""
    topics.ensure(settings, declared.ALL)
    machine = new_key(tmp_path / "worker.key")
    trusted = {"ann": ann.public, "worker": machine.public}
    own = {"signatures": Signatures.REQUIRE, "trusted_keys": trusted, "signing_key": tmp_path / "ann.key"}
    return settings.model_copy(update=own)


@pytest.fixture
def worker(strict: Settings, tmp_path: Path) -> Iterator[Worker]:
    with running(strict, tmp_path, signing_key=tmp_path / "worker.key") as worker:
        yield worker


def replayed(settings: Settings, source: Settings) -> None:
    """Write every command of one log again onto another, headers and all."""
    producer = clients.producer(settings)
    for message in list(read_to_end(source, MODEL_SWAP)):
        producer.produce(topics.name(settings, MODEL_SWAP), message.value(), headers=message.headers())
    assert producer.flush(10) == 0


def refusals(settings: Settings) -> list[str]:
    return [record.reason for record in committed_records(settings, AUDIT) if record.action == "refuse"]


def test_only_what_trusted_keys_sign_takes_effect(
    strict: Settings, worker: Worker, tmp_path: Path, ann: SigningKey, wait_until: Wait
) -> None:
    first, second, third = (tmp_path / f"{v}.pt" for v in "123")
    refs = [tiny_model(path, path.stem, centre=float(path.stem)) for path in (first, second, third)]
    for path, ref in zip((first, second), refs, strict=False):
        sign_artefact(path, ref.sha256, ann)
        outcome = commands.deploy(strict, Order("ann"), path)
        assert outcome.ok, outcome.sentence
    worker.await_ready()
    assert worker.model() == refs[1].sha256

    unsigned = commands.deploy(strict, Order("ann"), third)
    assert not unsigned.ok
    assert "it is not signed" in unsigned.sentence

    lax = strict.model_copy(update={"signatures": Signatures.OFF, "signing_key": None})
    forged = commands.rollback(lax, Order("mallory", timeout_s=1))
    new_key(tmp_path / "mallory.key")
    with_a_key = lax.model_copy(update={"signing_key": tmp_path / "mallory.key"})
    # To a reader that checks nothing, the first rollback has happened: only by its name is there a model to go to
    strange = commands.rollback(with_a_key, Order("mallory", timeout_s=1), to=refs[1].sha256)
    replayed(strict, strict)
    elsewhere = strict.model_copy(update={"topic_prefix": f"{strict.topic_prefix}x-"})
    topics.ensure(elsewhere, [MODEL_SWAP])
    replayed(elsewhere, strict)

    expected = {"it is not signed", "not in trusted_keys", "was given before"}
    wait_until(lambda: {e for e in expected if any(e in reason for reason in refusals(strict))} == expected)
    assert not forged.ok
    assert not strange.ok
    assert worker.model() == refs[1].sha256
    assert commands.models(strict).rollout.serving.model == refs[1]
    assert all(entry.refused for entry in commands.models(elsewhere).entries)

    back = commands.rollback(strict, Order("ann"))
    assert back.ok, back.sentence
    assert worker.model() == refs[0].sha256
