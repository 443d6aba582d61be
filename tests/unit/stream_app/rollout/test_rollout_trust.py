"""Where signatures are required, only what a trusted key has signed, for this topic and once, has an effect."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from models.signing import Keyring, SigningKey, new_key, sign_artefact
from schemas.rollout import Activate, Command, Rollback, Stage
from schemas.scoring import ModelRef
from stream_app.rollout.artefacts import FetchError, ModelCache
from stream_app.rollout.state import Rollout
from stream_app.rollout.swap_log import Entry, encode
from stream_app.rollout.trust import Trust, signature_headers, signing_key, trust
from stream_app.settings import Settings, SettingsError, Signatures
from stream_app.testing.memory_cluster import MemoryMessage
from stream_app.testing.tiny_model import tiny_model
from tests.unit.stream_app.rollout.swap_log import fold

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPIC = "model-swap"


@pytest.fixture
def ann(tmp_path: Path) -> SigningKey:
    return new_key(tmp_path / "ann.key")


@pytest.fixture
def mallory(tmp_path: Path) -> SigningKey:
    return new_key(tmp_path / "mallory.key")


@pytest.fixture
def required(ann: SigningKey) -> Trust:
    return Trust(Signatures.REQUIRE, Keyring({"ann": ann.public}), TOPIC)


def stage(version: str, expires_at: datetime | None = None) -> Stage:
    ref = ModelRef("m", version, version.rjust(64, "0"))
    about = {"command_id": f"s{version}", "issuer": "ann", "issued_at": START, "expires_at": expires_at}
    return Stage(uri=f"/{version}.pt", model=ref, **about)


def activate(version: str) -> Activate:
    return Activate(command_id=f"activate-s{version}", issuer="c", issued_at=START, stage_id=f"s{version}")


def rollback(command_id: str = "back") -> Rollback:
    return Rollback(command_id=command_id, issuer="ann", issued_at=START)


def signed(command: Command, key: SigningKey | None, topic: str = TOPIC, at: datetime = START) -> MemoryMessage:
    data = encode(command)
    return MemoryMessage(data, at=at, headers=list(signature_headers(key, topic, data).items()) if key else [])


def log(trusted: Trust, *records: MemoryMessage) -> list[Entry]:
    return fold(records, trust=trusted)


def deployed(key: SigningKey, *versions: str) -> list[MemoryMessage]:
    return [signed(command, key) for v in versions for command in (stage(v), activate(v))]


def serves(entries: list[Entry]) -> str | None:
    serving = entries[-1].after.serving
    return serving.model.version if serving else None


def test_a_signed_command_has_its_effect_and_names_its_signer(required: Trust, ann: SigningKey) -> None:
    entries = log(required, *deployed(ann, "1"))
    assert serves(entries) == "1"
    assert [(e.signer, e.refused) for e in entries] == [("ann", None)] * 2


def test_an_unsigned_command_is_refused(required: Trust, ann: SigningKey) -> None:
    entries = log(required, *deployed(ann, "1", "2"), signed(rollback(), None))
    assert serves(entries) == "2"
    assert entries[-1].refused == "it is not signed"


def test_a_command_signed_by_a_stranger_is_refused(required: Trust, ann: SigningKey, mallory: SigningKey) -> None:
    entries = log(required, *deployed(ann, "1", "2"), signed(rollback(), mallory))
    assert serves(entries) == "2"
    assert "not in trusted_keys" in (entries[-1].refused or "")


def test_a_signature_taken_from_another_command_is_refused(required: Trust, ann: SigningKey) -> None:
    other = signed(rollback("other"), ann)
    taken = MemoryMessage(encode(rollback("back")), at=START, headers=other.headers())
    entries = log(required, *deployed(ann, "1", "2"), taken)
    assert serves(entries) == "2"
    assert "does not hold" in (entries[-1].refused or "")


def test_a_command_given_for_another_prefix_is_refused(required: Trust, ann: SigningKey) -> None:
    entries = log(required, *deployed(ann, "1", "2"), signed(rollback(), ann, "staging-model-swap"))
    assert serves(entries) == "2"
    assert "does not hold" in (entries[-1].refused or "")


def test_a_command_written_again_is_refused(required: Trust, ann: SigningKey) -> None:
    back = signed(rollback(), ann)
    entries = log(required, *deployed(ann, "1", "2"), back, back)
    assert serves(entries) == "1"
    assert entries[-1].refused == "command back was given before"


def test_an_old_deploy_written_again_does_not_come_back(required: Trust, ann: SigningKey) -> None:
    entries = log(required, *deployed(ann, "1", "2"), *deployed(ann, "1"))
    assert serves(entries) == "2"
    assert all("was given before" in (e.refused or "") for e in entries[-2:])


def test_a_command_that_was_held_back_until_it_expired_is_refused(required: Trust, ann: SigningKey) -> None:
    late = signed(stage("3", START + timedelta(seconds=1)), ann, at=START + timedelta(seconds=2))
    entries = log(required, *deployed(ann, "1"), late, signed(activate("3"), ann))
    assert serves(entries) == "1"
    assert "it expired" in (entries[-2].refused or "")


def test_commands_out_of_their_order_are_refused(required: Trust, ann: SigningKey) -> None:
    entries = log(required, signed(activate("1"), ann), signed(stage("1"), ann))
    assert serves(entries) is None
    assert entries[0].refused == "stage s1 is not pending"


def test_a_forged_record_does_not_use_up_the_id_of_the_true_one(
    required: Trust, ann: SigningKey, mallory: SigningKey
) -> None:
    entries = log(required, signed(stage("1"), ann), signed(activate("1"), mallory), signed(activate("1"), ann))
    assert [e.refused is None for e in entries] == [True, False, True]
    assert serves(entries) == "1"


@pytest.mark.parametrize(
    ("data", "head"),
    [
        (None, []),
        (b"{}", [("signature", b"x" * 64), ("key-id", b"\xff\xfe")]),
        (b"{}", [("signature", None), ("key-id", None)]),
        (encode(rollback()), [("signature", b""), ("key-id", b"")]),
        (encode(rollback()), [("signature", b"x" * 10_000), ("key-id", b"x" * 10_000)]),
    ],
)
def test_malformed_records_and_headers_change_nothing(
    required: Trust, ann: SigningKey, data: bytes | None, head: list[tuple[str, bytes | None]]
) -> None:
    entries = log(required, *deployed(ann, "1", "2"), MemoryMessage(data, at=START, headers=head))
    assert entries[-1].refused
    assert entries[-1].after == entries[-2].after


def test_a_warning_lets_it_through_and_says_why(ann: SigningKey) -> None:
    warned = Trust(Signatures.WARN, Keyring({"ann": ann.public}), TOPIC)
    entries = log(warned, *deployed(ann, "1", "2"), signed(rollback(), None))
    assert serves(entries) == "1"
    assert (entries[-1].refused, entries[-1].complaint) == (None, "it is not signed")


def test_off_asks_for_no_signature(ann: SigningKey) -> None:
    entries = log(Trust(), *deployed(ann, "1", "2"), signed(rollback(), None))
    assert (serves(entries), entries[-1].complaint, entries[-1].signer) == ("1", "", "")


def test_what_a_log_means_does_not_depend_on_where_reading_began(
    required: Trust, ann: SigningKey, mallory: SigningKey
) -> None:
    records = [*deployed(ann, "1"), signed(stage("2"), mallory), signed(rollback(), None), *deployed(ann, "3")]
    whole = log(required, *records)
    for joined in range(len(records)):
        before = fold(records[:joined], trust=required)
        after = fold(records[joined:], before[-1].after if before else Rollout(), required)
        assert after[-1].after == whole[-1].after


def test_a_signed_model_is_fetched_once_its_signature_is_kept_too(
    required: Trust, ann: SigningKey, tmp_path: Path
) -> None:
    source = tmp_path / "m.pt"
    ref = tiny_model(source, "1")
    signature = sign_artefact(source, ref.sha256, ann)
    cache = ModelCache(tmp_path / "cache", required)
    kept = cache.fetch(str(source), ref.sha256)
    source.unlink()
    signature.unlink()
    assert cache.fetch(source.as_uri(), ref.sha256) == kept


@pytest.mark.parametrize("how", ["unsigned", "stranger", "other model"])
def test_a_model_without_a_trusted_signature_is_refused_before_it_is_copied(
    how: str, required: Trust, ann: SigningKey, mallory: SigningKey, tmp_path: Path
) -> None:
    source = tmp_path / "m.pt"
    ref = tiny_model(source, "1")
    if how == "stranger":
        sign_artefact(source, ref.sha256, mallory)
    if how == "other model":
        sign_artefact(source, "0" * 64, ann)
    with pytest.raises(FetchError, match=r"m\.pt is refused: it"):
        ModelCache(tmp_path / "cache", required).fetch(str(source), ref.sha256)
    assert not (tmp_path / "cache").exists()


def test_a_kept_model_whose_signer_is_no_longer_trusted_is_refused(
    required: Trust, ann: SigningKey, mallory: SigningKey, tmp_path: Path
) -> None:
    source = tmp_path / "m.pt"
    ref = tiny_model(source, "1")
    sign_artefact(source, ref.sha256, ann)
    ModelCache(tmp_path / "cache", required).fetch(str(source), ref.sha256)
    later = Trust(Signatures.REQUIRE, Keyring({"mallory": mallory.public}), TOPIC)
    with pytest.raises(FetchError, match="not in trusted_keys"):
        ModelCache(tmp_path / "cache", later).fetch(str(source), ref.sha256)


def test_settings_that_could_command_nothing_are_said_at_once(
    ann: SigningKey, mallory: SigningKey, tmp_path: Path
) -> None:
    strict = {"signatures": "require", "trusted_keys": {"ann": ann.public}}
    assert signing_key(Settings()) is None
    with pytest.raises(SettingsError, match="trusted_keys is empty"):
        trust(Settings(signatures="require"))
    with pytest.raises(SettingsError, match="signing_key is not set"):
        signing_key(Settings(**strict))
    with pytest.raises(SettingsError, match="not in trusted_keys"):
        signing_key(Settings(**strict, signing_key=tmp_path / "mallory.key"))
    own = signing_key(Settings(**strict, signing_key=tmp_path / "ann.key"))
    assert own is not None
    assert own.key_id == ann.key_id
