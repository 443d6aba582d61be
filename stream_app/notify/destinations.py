"""Who is told, of what, and how: the file of the destinations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.drift import DriftAlert, DriftSeverity
from schemas.scoring import Anomaly, Severity
from schemas.toml import TomlError, converted, read_toml
from schemas.topics import ANOMALIES, DRIFT_ALERTS, Topic

RANKS = {
    DriftSeverity.INFO.value: 0,
    DriftSeverity.WARNING.value: 1,
    Severity.MEDIUM.value: 1,
    Severity.HIGH.value: 2,
    Severity.CRITICAL.value: 3,
}
TOPICS = {topic.name: topic for topic in (ANOMALIES, DRIFT_ALERTS)}
ANYTHING_ELSE = "a file of destinations holds [[destination]] tables and, if wanted, `undelivered`"

NotNegative = Annotated[float, Meta(ge=0, le=86_400)]
Positive = Annotated[float, Meta(gt=0, le=604_800)]


class Destination(Struct, frozen=True):
    """One that is told.

    Attributes:
        name: Of its consumer group, too: another name is told everything from now on.
        format: How messages are written.
        url: Where they are posted; `url_file` holds it where it is a secret, as Slack's and Teams' are.
        secret_file: Holds the secret that webhooks are signed with, `whsec_` and base64.
        topics: Of what it is told.
        least_severity: `medium` and a drift's `warning` are one.
        detectors: Only of these, by the name of the model; empty: of all.
        inputs: Only where one of these is a reason, or has drifted; empty: wherever.
        group_s: Anomalies of an entity within this time are one message; 0: each is one.
        give_up_s: How long a message is tried before it is undelivered.
        timeout_s: How long an answer may take.
    """

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9._-]+$", max_length=64, description="letters, digits, . _ -")]
    format: Literal["webhook", "slack", "teams"] = "webhook"
    url: str = ""
    url_file: str = ""
    secret_file: str = ""
    topics: tuple[Literal["anomalies", "drift-alerts"], ...] = ("anomalies", "drift-alerts")
    least_severity: Literal["info", "medium", "high", "critical"] = "info"
    detectors: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    group_s: NotNegative = 30.0
    give_up_s: Positive = 3600.0
    timeout_s: Annotated[float, Meta(gt=0, le=300)] = 10.0
    folder: str = ""

    @property
    def reads(self) -> list[Topic]:
        """The topics that it is told of."""
        return [TOPICS[name] for name in self.topics]

    @property
    def address(self) -> str:
        """Where messages are posted.

        Raises:
            TomlError: there is none.
        """
        return self.url or self._held(self.url_file, "url")

    @property
    def secret(self) -> str:
        """What webhooks are signed with; empty: they are not.

        Raises:
            TomlError: the file cannot be read.
        """
        return self._held(self.secret_file, "secret") if self.secret_file else ""

    def wants(self, record: Anomaly | DriftAlert) -> bool:
        """Whether it is told of this."""
        found = [r.feature for r in record.explanation] if isinstance(record, Anomaly) else _inputs_of(record)
        return (
            RANKS[record.severity.value] >= RANKS[self.least_severity]
            and (not self.detectors or record.model.name in self.detectors)
            and (not self.inputs or bool({*found} & {*self.inputs}))
        )

    def _held(self, file: str, what: str) -> str:
        path = Path(self.folder) / file
        try:
            return path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TomlError(f"destination {self.name}: cannot read its {what} in {path}: {error}") from error


def _inputs_of(alert: DriftAlert) -> Sequence[str]:
    """The inputs whose values, errors or relations have moved."""
    return [name for shift in alert.signals for name in shift.signal.partition(":")[2].split("+") if name]


class Destinations(Struct, frozen=True):
    """All of a file.

    Attributes:
        each: In the order of the file.
        undelivered: Where messages are put that no try delivered, a line of JSON each.
    """

    each: tuple[Destination, ...]
    undelivered: Path


def read(path: Path) -> Destinations:
    """The destinations of a file.

    Raises:
        TomlError: with one line for all that is wrong.
    """
    table = read_toml(path)
    tables, kept = table.get("destination", []), table.get("undelivered", "undelivered.jsonl")
    if {*table} - {"destination", "undelivered"} or not isinstance(tables, list) or not isinstance(kept, str):
        raise TomlError(f"{path}: {ANYTHING_ELSE}")
    wrong: list[str] = [] if tables else [f": {ANYTHING_ELSE}; there is no destination"]
    found: list[Destination] = []
    for number, given in enumerate(tables, start=1):
        destination, complaints = converted(given, Destination)
        wrong += [f", destination {number}{complaint}" for complaint in complaints]
        if destination is None:
            continue
        if bool(destination.url) == bool(destination.url_file):
            wrong.append(f", destination {destination.name}: give url or url_file, one of them")
        elif destination.url and not destination.url.startswith(("https://", "http://")):
            wrong.append(f", destination {destination.name}, field url: must begin with https:// or http://")
        found.append(_beside(destination, path))
    names = [destination.name for destination in found]
    wrong += [f", destination {name}: two have this name" for name in sorted({n for n in names if names.count(n) > 1})]
    if wrong:
        raise TomlError("; ".join(f"{path}{what}" for what in wrong))
    return Destinations(tuple(found), path.parent / kept)


def _beside(destination: Destination, path: Path) -> Destination:
    """Its files are found beside the file that names them."""
    fields = {name: getattr(destination, name) for name in destination.__struct_fields__}
    return Destination(**{**fields, "folder": str(path.parent)})
