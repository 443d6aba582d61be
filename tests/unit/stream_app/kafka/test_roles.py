"""Who may do what, as declared: every topic has its writers and its readers, and the worker alone has transactions."""

from schemas.topics import ALL
from stream_app.kafka.roles import (
    ANALYST,
    CASE_TOOL,
    NOTIFIER,
    OPERATOR,
    PRODUCER,
    READER,
    REDELIVERY,
    REKEY,
    ROLES,
    WORKER,
    Operation,
    Resource,
    Right,
    rights,
)
from stream_app.settings import Settings

SETTINGS = Settings(topic_prefix="eu-", app_id="fraud")
# Who the declarations of the topics call by another name
WORDS = {
    "producers": {PRODUCER.name},
    "pipeline": {WORKER.name},
    "warm-up": {WORKER.name},
    "rekey": {REKEY.name},
    "deadletters replay": {REDELIVERY.name},
    "off by default": {WORKER.name},
    "drift agent": {WORKER.name},
    "workers": {WORKER.name},
    "controller": {WORKER.name},
    "operators": {OPERATOR.name},
    "case tools": {CASE_TOOL.name},
    "analysts": {ANALYST.name},
    "everything that changes what the system does": {WORKER.name, OPERATOR.name, ANALYST.name, REDELIVERY.name},
}


def test_a_topic_is_written_by_those_whom_its_declaration_names():
    for topic in ALL:
        declared = set().union(*(WORDS[word] for word in topic.written_by.split(", ")))
        assert {role.name for role in ROLES if topic in role.writes} == declared, topic.name


def test_every_topic_is_read_by_somebody():
    assert {topic.name for role in ROLES for topic in role.reads} == {topic.name for topic in ALL}


def test_names_are_those_of_the_installation():
    assert rights(SETTINGS, READER) == [
        Right(Resource.GROUP, "eu-fraud-reader-", True, Operation.READ),
        Right(Resource.TOPIC, "eu-anomalies", False, Operation.DESCRIBE_CONFIGS),
        Right(Resource.TOPIC, "eu-anomalies", False, Operation.READ),
        Right(Resource.TOPIC, "eu-drift-alerts", False, Operation.DESCRIBE_CONFIGS),
        Right(Resource.TOPIC, "eu-drift-alerts", False, Operation.READ),
    ]


def test_only_a_worker_has_transactions_and_the_groups_of_the_application():
    own = [
        Right(Resource.GROUP, "eu-fraud-control", False, Operation.READ),
        Right(Resource.GROUP, "eu-fraud", False, Operation.READ),
        Right(Resource.TRANSACTIONAL_ID, "eu-fraud-", True, Operation.WRITE),
    ]
    for role in ROLES:
        assert [right for right in own if right in rights(SETTINGS, role)] == (own if role is WORKER else [])


def test_notify_has_a_group_for_each_destination_and_writes_nothing():
    found = [right for right in rights(SETTINGS, NOTIFIER) if right.resource is Resource.GROUP]
    assert Right(Resource.GROUP, "eu-fraud-notify-", True, Operation.READ) in found
    assert not NOTIFIER.writes


def test_rekey_has_a_group_and_transactions_of_its_own():
    beside_topics = [right for right in rights(SETTINGS, REKEY) if right.resource is not Resource.TOPIC]
    assert sorted(beside_topics) == sorted(
        [
            Right(Resource.GROUP, "eu-fraud-rekey", False, Operation.READ),
            Right(Resource.TRANSACTIONAL_ID, "eu-fraud-rekey-", True, Operation.WRITE),
        ]
    )


def test_redelivery_has_one_transactional_id_so_that_a_second_one_ends_the_first():
    beside_topics = [right for right in rights(SETTINGS, REDELIVERY) if right.resource is Resource.TRANSACTIONAL_ID]
    assert beside_topics == [Right(Resource.TRANSACTIONAL_ID, "eu-fraud-deadletters", False, Operation.WRITE)]
