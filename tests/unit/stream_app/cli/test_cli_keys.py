"""Keys and signatures as a person makes them."""

import json

from models.signing import Keyring, artefact_signer
from stream_app.testing.tiny_model import tiny_model
from tests.unit.stream_app.cli.cli_runner import stream_app


def test_a_new_key_signs_a_model_that_those_who_trust_it_accept(tmp_path):
    made = stream_app("keys", "new", tmp_path / "ann.key")
    assert made.exit_code == 0
    name, public = (part.strip('"') for part in made.stdout.strip().split(" = "))
    ref = tiny_model(tmp_path / "m.pt", "1")
    assert stream_app("sign", tmp_path / "m.pt", "--key", tmp_path / "ann.key").exit_code == 0
    assert artefact_signer(Keyring({name: public}), ref.sha256, (tmp_path / "m.pt.sig").read_bytes()) == "ann"


def test_a_key_that_is_there_stays_and_the_failure_is_one_line(tmp_path):
    stream_app("keys", "new", tmp_path / "ann.key")
    again = stream_app("keys", "new", tmp_path / "ann.key")
    assert again.exit_code == 1
    assert "is there already" in again.stderr


def test_the_list_says_whose_signatures_count_and_who_signs_here(tmp_path):
    made = json.loads(stream_app("keys", "new", tmp_path / "ann.key", "--json").stdout)
    environment = {
        "STREAM_APP_SIGNATURES": "warn",
        "STREAM_APP_TRUSTED_KEYS": json.dumps({"ann": made["public"]}),
        "STREAM_APP_SIGNING_KEY": tmp_path / "ann.key",
    }
    listed = json.loads(stream_app("keys", "list", "--json", **environment).stdout)
    assert listed == {"signatures": "warn", "trusted": {"ann": made["key_id"]}, "own": made["key_id"]}
    wrong = stream_app("keys", "list", STREAM_APP_TRUSTED_KEYS='{"bob": "?"}')
    assert wrong.exit_code == 2
    assert "trusted_keys.bob" in wrong.stderr
