"""`stream-app rights list`: every right by the names of this installation, without a cluster."""

import json

from stream_app.kafka.roles import ROLES
from tests.unit.stream_app.cli.cli_runner import stream_app


def test_the_list_names_every_right_as_it_is_called_here():
    shown = stream_app("rights", "list", "--topic-prefix", "eu-", STREAM_APP_APP_ID="fraud")
    assert shown.exit_code == 0
    lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
    assert "topic eu-model-swap describe configs, read, write" in lines
    assert "transactional id eu-fraud-* write" in lines


def test_the_list_as_json_has_every_role():
    listed = json.loads(stream_app("rights", "list", "--json").stdout)
    assert list(listed) == [role.name for role in ROLES]
    assert listed["producer"]["rights"] == [
        {"resource": "topic", "name": "transactions", "prefixed": False, "operation": "describe configs"},
        {"resource": "topic", "name": "transactions", "prefixed": False, "operation": "write"},
    ]
