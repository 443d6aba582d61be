"""Creates the users and access list entries that `roles` declares, where they are missing.

Nothing is ever removed, because a user may have rights for other work; rights beyond the role are reported.
"""

import json
import os
import secrets
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from msgspec import Struct

from stream_app.kafka import clients
from stream_app.kafka.clients import BrokerError, explain
from stream_app.kafka.permissions import OPERATIONS
from stream_app.kafka.roles import Resource, Right, Role, rights
from stream_app.settings import Settings

ANSWER_S = 10.0
ITERATIONS = 8192
PASSWORD_BYTES = 32
FROM_ANYWHERE = "*"

_RESOURCES = {
    Resource.TOPIC: ResourceType.TOPIC,
    Resource.GROUP: ResourceType.GROUP,
    Resource.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
}


class NotGranted(BrokerError):  # noqa: N818 - named after the state of the world
    """A user or its rights could not be created; the message says why, and what to do."""


class AccessOutcome(StrEnum):
    """What was done about a user or a right."""

    MADE = "made"
    SET = "password set"
    KEPT = "there already"
    MISSING = "missing"
    BEYOND = "beyond the role"


class AccessEntry(Struct, frozen=True):
    """One user or right, and what was done about it.

    Attributes:
        user: The user's name.
        what: `user`, or the kind of resource.
        name: The user's SCRAM mechanism, or the resource's name, with a star after a prefix.
        operation: What may be done; empty for the user itself.
        outcome: What was done.
    """

    user: str
    what: str
    name: str
    operation: str
    outcome: AccessOutcome


class Access:
    """The access lists of one cluster, as its administrator sees them.

    Args:
        settings: An administrator's.
        dry_run: Report, and change nothing.
    """

    def __init__(self, settings: Settings, dry_run: bool = False) -> None:
        self._settings = settings
        self._dry_run = dry_run
        self._client: AdminClient = clients.admin(settings)

    def grant(self, role: Role, user: str, secrets_file: Path | None = None) -> list[AccessEntry]:
        """Give a user the rights of a role.

        Args:
            role: The rights.
            user: The principal's name: of SCRAM, of a certificate, or of another mechanism.
            secrets_file: Create the SCRAM user too, with the password in this file; where the file does not exist,
                with a new password, which is written to it. None: users are created elsewhere.

        Raises:
            NotGranted: the cluster keeps no access lists or no such users, or the file is somebody else's.
            BrokerUnavailable, NotAuthorised: see `clients`.
        """
        try:
            made = [] if secrets_file is None else [self._user(user, secrets_file)]
            return made + self._rights(user, rights(self._settings, role))
        except KafkaException as exception:
            raise self._explained(exception) from exception

    def _user(self, user: str, secrets_file: Path) -> AccessEntry:
        known = self._mechanism in self._mechanisms_of(user)
        entry = partial(AccessEntry, user, "user", self._mechanism.name.replace("_", "-"), "")
        if self._dry_run:
            return entry(AccessOutcome.KEPT if known else AccessOutcome.MISSING)
        if known and not secrets_file.exists():
            return entry(AccessOutcome.KEPT)  # its password stays valid
        password = _password(secrets_file, user)
        order = UserScramCredentialUpsertion(user, ScramCredentialInfo(self._mechanism, ITERATIONS), password.encode())
        for outcome in self._client.alter_user_scram_credentials([order], request_timeout=ANSWER_S).values():
            outcome.result()
        return entry(AccessOutcome.SET if known else AccessOutcome.MADE)

    def _rights(self, user: str, wanted: Sequence[Right]) -> list[AccessEntry]:
        there = self._there(user)
        bindings = {_binding(user, right): right for right in wanted}
        missing = [binding for binding in bindings if binding not in there]
        if not self._dry_run and missing:
            for outcome in self._client.create_acls(missing, request_timeout=ANSWER_S).values():
                outcome.result()
        done = AccessOutcome.MISSING if self._dry_run else AccessOutcome.MADE
        entries = [
            _entry(user, binding, right.operation, AccessOutcome.KEPT if binding in there else done)
            for binding, right in bindings.items()
        ]
        beyond = sorted(there - bindings.keys(), key=str)
        return entries + [_entry(user, found, _words(found), AccessOutcome.BEYOND) for found in beyond]

    def _there(self, user: str) -> set[AclBinding]:
        anything: Any = None  # the stubs do not know it
        kinds = (ResourceType.ANY, anything, ResourcePatternType.ANY)
        may = (AclOperation.ANY, AclPermissionType.ANY)
        every = AclBindingFilter(*kinds, f"User:{user}", anything, *may)
        return set(self._client.describe_acls(every, request_timeout=ANSWER_S).result())

    @property
    def _mechanism(self) -> ScramMechanism:
        """The administrator's own mechanism, which the cluster accepts; else the stronger one."""
        given = clients.passed_through(self._settings)
        own = str(given.get("sasl.mechanism", given.get("sasl.mechanisms", "")))
        return ScramMechanism.SCRAM_SHA_256 if own == "SCRAM-SHA-256" else ScramMechanism.SCRAM_SHA_512

    def _mechanisms_of(self, user: str) -> set[ScramMechanism]:
        answers: Any = self._client.describe_user_scram_credentials([user], request_timeout=ANSWER_S)
        (answer,) = answers.values()
        try:
            return {info.mechanism for info in answer.result().scram_credential_infos}
        except KafkaException as exception:
            if exception.args[0].code() == KafkaError.RESOURCE_NOT_FOUND:
                return set()
            raise

    def _explained(self, exception: KafkaException) -> BrokerError:
        where, code = self._settings.bootstrap_servers, exception.args[0].code()
        if code == KafkaError.SECURITY_DISABLED:
            return NotGranted(f"Kafka at {where} keeps no access lists: set authorizer.class.name on its brokers")
        if code == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            return NotGranted(
                f"Kafka at {where} lets only an administrator do this: set [kafka] to one who may alter it"
            )
        return explain(exception, self._settings, "access lists")


def _password(secrets_file: Path, user: str) -> str:
    """The password in the user's file; a new file is readable by its owner only."""
    name, word = "sasl.username", "sasl.password"
    try:
        secrets_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(secrets_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        found = _read(secrets_file)
        if found.get(name) != user or not found.get(word):
            raise NotGranted(
                f"{secrets_file} does not hold {name} {user} and its {word}: choose another folder"
            ) from None
        return str(found[word])
    except OSError as error:
        raise NotGranted(f"{secrets_file}: {error.strerror}: choose a folder that can be written") from error
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    with os.fdopen(descriptor, "w") as file:
        json.dump({name: user, word: password}, file, indent=2)
    return password


def _read(secrets_file: Path) -> dict[str, Any]:
    try:
        found = json.loads(secrets_file.read_bytes())
    except OSError as error:
        raise NotGranted(f"{secrets_file}: {error.strerror}") from error
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _binding(user: str, right: Right) -> AclBinding:
    return AclBinding(
        _RESOURCES[right.resource],
        right.name,
        ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL,
        f"User:{user}",
        FROM_ANYWHERE,
        OPERATIONS[right.operation],
        AclPermissionType.ALLOW,
    )


def _entry(user: str, binding: AclBinding, operation: str, outcome: AccessOutcome) -> AccessEntry:
    more = "*" if binding.resource_pattern_type == ResourcePatternType.PREFIXED else ""
    what = ResourceType(binding.restype).name.lower().replace("_", " ")
    return AccessEntry(user, what, f"{binding.name}{more}", operation, outcome)


def _words(binding: AclBinding) -> str:
    refused = "not " if binding.permission_type == AclPermissionType.DENY else ""
    return refused + AclOperation(binding.operation).name.lower().replace("_", " ")
