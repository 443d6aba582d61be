"""The settings of this call of the program: the file, the environment, then the options that every command takes."""

import logging
from typing import Any

from stream_app.cli.invocation import current
from stream_app.cli.terminal import say
from stream_app.kafka import records
from stream_app.kafka.clients import wait_for_broker
from stream_app.settings import Settings, load

BROKER_PATIENCE_S = 5.0
AT_HOME = str(Settings.model_fields["bootstrap_servers"].default)
AT_HOME_PATIENCE_S = 30.0  # `stream-app broker &` in the line before takes a few seconds


def settings(**overrides: Any) -> Settings:
    """The settings of this invocation.

    Raises:
        SettingsError: one is wrong.
    """
    given = current.get()
    return load(bootstrap_servers=given.bootstrap_servers, topic_prefix=given.topic_prefix, **overrides)


def connected_settings() -> Settings:
    """The settings of this invocation, once a broker has answered: a dead one fails here, in seconds and in one line.

    Raises:
        SettingsError: one is wrong.
        BrokerUnavailable: no broker answers.
    """
    without_log()
    chosen = settings()
    if chosen.bootstrap_servers == AT_HOME:
        wait_for_broker(chosen, AT_HOME_PATIENCE_S, say)
    else:
        wait_for_broker(chosen, BROKER_PATIENCE_S, lambda line: None)
    return chosen


def without_log() -> None:
    """A command reports what went wrong in its own words; what librdkafka logs while it retries is for --debug."""
    logging.getLogger("stream_app").addHandler(logging.NullHandler())
    if logging.lastResort is not None:  # a line on stderr for each record that is passed over
        records.log.addHandler(logging.lastResort)
