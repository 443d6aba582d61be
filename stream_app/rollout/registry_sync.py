"""The registry's aliases follow the swap log: `champion`, `previous` and `candidate` name what it prescribes.

champion    serves
previous    what a rollback would serve
candidate   is tried out or staged; where nothing is, the newest that was registered and never staged

Only versions of the registry can be named. Where what serves was deployed by its file and never registered, there is
no champion: an alias that names something else would be a lie.

The worker that runs the controller moves them after every command, an operator's or the guard's, in a process of its
own at the lowest priority (`python -m stream_app.rollout.registry_sync`): MLflow takes seconds to load and hundreds of
MB, and may hang.
"""

import asyncio
import logging
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Mapping
from importlib.util import find_spec

from models.registry.registry import Registry, connect, in_use
from schemas.errors import UserError
from schemas.rollout import Stage
from stream_app.rollout.state import Release, Rollout
from stream_app.rollout.swap_log import SwapLog, read_swap_log
from stream_app.settings import Settings, environment, load

logger = logging.getLogger(__name__)

CHAMPION, PREVIOUS, CANDIDATE = "champion", "previous", "candidate"
LIMIT_S = 120.0
AGAIN_AFTER_S = 60.0


def sync(settings: Settings) -> list[str]:
    """Bring the aliases of every model that was ever staged up to date: a sentence for each that has moved.

    Raises:
        RegistryError: the registry cannot be changed. One that is down fails before the log is read.
        BrokerError: the log cannot be read.
    """
    if not in_use(settings.tracking_uri):
        return []
    registry = connect(settings.tracking_uri)
    log = read_swap_log(settings)
    names = sorted({entry.command.model.name for entry in log.entries if isinstance(entry.command, Stage)})
    return [line for name in names for line in _move(registry, name, log)]


def prescribed(name: str, log: SwapLog) -> dict[str, str | None]:
    """Alias to digest, of one model; None: it names nothing."""
    rollout = log.rollout
    beside = rollout.candidate or rollout.pending
    releases = {CHAMPION: rollout.serving, PREVIOUS: rollout.before, CANDIDATE: beside.release if beside else None}
    return {
        alias: release.model.sha256 if release is not None and release.model.name == name else None
        for alias, release in releases.items()
    }


def moves(name: str, log: SwapLog, now: Mapping[str, str], versions: Mapping[str, str]) -> dict[str, str | None]:
    """Which aliases of a model have to move.

    Args:
        name: Of the model.
        log: The swap log.
        now: Alias to version, as the registry has it.
        versions: Digest to version, of everything that is registered.

    Returns:
        Alias to the version that it shall name; None: nothing any more.
    """
    wanted = {alias: versions.get(sha256 or "") for alias, sha256 in prescribed(name, log).items()}
    staged = {versions.get(entry.command.model.sha256) for entry in log.entries if isinstance(entry.command, Stage)}
    if wanted[CANDIDATE] is None and now.get(CANDIDATE) not in staged:
        wanted[CANDIDATE] = now.get(CANDIDATE)  # freshly registered
    return {alias: version for alias, version in wanted.items() if version != now.get(alias)}


class RegistrySync:
    """Notices in a worker that the log prescribes something else, and starts the process that updates the aliases.

    A registry that is down is one warning, and is updated when it is back.

    Args:
        settings: Handed to the process.
        rollout: What the swap log prescribes; None while it is not read to its end.
        owner: Whether this worker runs the controller.
    """

    def __init__(self, settings: Settings, rollout: Callable[[], Rollout | None], owner: Callable[[], bool]) -> None:
        self._settings = settings
        self._rollout = rollout
        self._owner = owner
        self._synced: tuple[Release | None, ...] = ()
        self._not_before = 0.0
        self._warned = False

    async def step(self) -> None:
        """Update the aliases if something is new; returns when that is done or has failed."""
        rollout = self._rollout()
        if rollout is None or not self._owner() or not in_use(self._settings.tracking_uri):
            return
        now = (rollout.serving, rollout.before, rollout.candidate.release if rollout.candidate else None)
        if now in (self._synced, (None, None, None)) or time.monotonic() < self._not_before:
            return
        complaint = await self._run()
        if not complaint:
            self._synced, self._warned = now, False
            return
        self._not_before = time.monotonic() + AGAIN_AFTER_S
        if not self._warned:
            self._warned = True
            logger.warning("aliases are not up to date, which is tried every %g s: %s", AGAIN_AFTER_S, complaint)

    async def _run(self) -> str:
        """What was wrong; empty when it was done."""
        if find_spec("mlflow") is None:
            return "MLflow is not installed: pip install 'stream-app[registry]'"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, stdout=DEVNULL, stderr=PIPE, env=environment(self._settings)
        )
        try:
            _, errors = await asyncio.wait_for(process.communicate(), LIMIT_S)
        except TimeoutError:
            return f"no answer within {LIMIT_S:g} s"
        finally:
            if process.returncode is None:
                process.kill()
        lines = errors.decode(errors="replace").strip().splitlines()
        return (lines or ["no reason was given"])[-1] if process.returncode else ""


def main() -> None:
    """The program of this module: settings from the environment; what has moved on stdout, a failure on stderr."""
    os.nice(19)
    try:
        for line in sync(load()):
            print(line)  # noqa: T201
    except UserError as error:
        sys.exit(str(error))


def _move(registry: Registry, name: str, log: SwapLog) -> list[str]:
    lines = []
    for alias, version in moves(name, log, registry.aliases(name), registry.versions(name)).items():
        registry.point(name, alias, version)
        lines.append(f"models:/{name}@{alias} {f'is version {version} now' if version else 'names nothing any more'}")
    return lines


if __name__ == "__main__":
    main()
