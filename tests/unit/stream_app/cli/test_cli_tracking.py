"""A training's version is one that no other model has, with a registry and without."""

from datetime import UTC, datetime

from stream_app.cli.tracking import VERSION_BY_TIME, Tracker


def test_without_a_registry_the_version_is_the_time_of_training() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    version = Tracker("", "card-fraud").next_version
    assert before <= datetime.strptime(version, VERSION_BY_TIME).replace(tzinfo=UTC) <= datetime.now(UTC)
