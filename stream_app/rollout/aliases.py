"""The swap log in, the registry's aliases out: `champion`, `previous` and `candidate` name what the log prescribes.

champion    serves
previous    what a rollback would serve
candidate   is tried out or staged; where nothing is, the newest that was registered and never staged

Only versions of the registry can be named. Where what serves was deployed by its file and never registered, there is
no champion: an alias that names something else would be a lie.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from schemas.rollout import Stage
from stream_app.rollout.commands import Models, models
from stream_app.settings import Settings

if TYPE_CHECKING:
    from models.registry.registry import Registry

CHAMPION, PREVIOUS, CANDIDATE = "champion", "previous", "candidate"


def follow(settings: Settings, registry: "Registry") -> list[str]:
    """Bring the aliases of every model that was ever staged up to date.

    Returns:
        A sentence for each alias that has moved.

    Raises:
        RegistryError: the registry cannot be told.
        BrokerError: the log cannot be read.
    """
    log = models(settings)
    names = sorted({entry.command.model.name for entry in log.history if isinstance(entry.command, Stage)})
    return [line for name in names for line in _follow(registry, name, log)]


def prescribed(name: str, log: Models) -> dict[str, str | None]:
    """Alias to digest, of one model; None: it names nothing."""
    rollout = log.rollout
    beside = rollout.candidate or rollout.pending
    releases = {CHAMPION: rollout.serving, PREVIOUS: rollout.previous, CANDIDATE: beside.release if beside else None}
    return {
        alias: release.model.sha256 if release is not None and release.model.name == name else None
        for alias, release in releases.items()
    }


def moves(name: str, log: Models, now: Mapping[str, str], versions: Mapping[str, str]) -> dict[str, str | None]:
    """Which aliases have to move.

    Args:
        name: Of the model.
        log: What the swap log says.
        now: Alias to version, as the registry has it.
        versions: Digest to version, of everything that is registered.

    Returns:
        Alias to the version that it shall name; None: nothing any more.
    """
    wanted = {alias: versions.get(sha256 or "") for alias, sha256 in prescribed(name, log).items()}
    staged = {versions.get(entry.command.model.sha256) for entry in log.history if isinstance(entry.command, Stage)}
    if wanted[CANDIDATE] is None and now.get(CANDIDATE) not in staged:
        wanted[CANDIDATE] = now.get(CANDIDATE)  # freshly registered
    return {alias: version for alias, version in wanted.items() if version != now.get(alias)}


def _follow(registry: "Registry", name: str, log: Models) -> list[str]:
    said = []
    for alias, version in moves(name, log, registry.aliases(name), registry.versions(name)).items():
        registry.point(name, alias, version)
        said.append(f"models:/{name}@{alias} {f'is version {version} now' if version else 'names nothing any more'}")
    return said
