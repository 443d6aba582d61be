"""A worker that runs the controller lets the registry's aliases follow, also where the guard acted and nobody waits.

It does so in a process of its own, at the lowest priority: MLflow takes seconds to load and hundreds of MB, and may
hang. A registry that is down is one warning here, and is told when it is back.
"""

import asyncio
import logging
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from importlib.util import find_spec

from models.registry.registry import in_use
from stream_app.rollout.state import Release, Rollout
from stream_app.settings import Settings

logger = logging.getLogger(__name__)

PROGRAM = "import os, sys; os.nice(19); from stream_app.cli.app import app; app(sys.argv[1:])"
LIMIT_S = 120.0
AGAIN_AFTER_S = 60.0


class Registrar:
    """Notices that something else serves, and has it told.

    Args:
        settings: Which registry.
        rollout: What the swap log prescribes; None while it is not read to its end.
        owner: Whether this worker runs the controller.
    """

    def __init__(self, settings: Settings, rollout: Callable[[], Rollout | None], owner: Callable[[], bool]) -> None:
        self._settings = settings
        self._rollout = rollout
        self._owner = owner
        self._told: tuple[Release | None, ...] = ()
        self._not_before = 0.0
        self._warned = False

    async def step(self) -> None:
        """Have it told what is new; returns when that is done or has failed."""
        rollout = self._rollout()
        if rollout is None or not self._owner() or not in_use(self._settings.tracking_uri):
            return
        now = (rollout.serving, rollout.previous, rollout.candidate.release if rollout.candidate else None)
        if now in (self._told, (None, None, None)) or time.monotonic() < self._not_before:
            return
        complaint = await self._tell()
        if not complaint:
            self._told, self._warned = now, False
            return
        self._not_before = time.monotonic() + AGAIN_AFTER_S
        if not self._warned:
            self._warned = True
            logger.warning("aliases are not up to date, which is tried every %g s: %s", AGAIN_AFTER_S, complaint)

    async def _tell(self) -> str:
        """What was wrong; empty when it was done."""
        if find_spec("mlflow") is None:
            return "MLflow is not installed: pip install 'stream-app[registry]'"
        where = ("--bootstrap-servers", self._settings.bootstrap_servers, "--topic-prefix", self._settings.topic_prefix)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, "registry", "sync", *where, stdout=DEVNULL, stderr=PIPE
        )
        try:
            _, said = await asyncio.wait_for(process.communicate(), LIMIT_S)
        except TimeoutError:
            return f"no answer within {LIMIT_S:g} s"
        finally:
            if process.returncode is None:
                process.kill()
        lines = said.decode(errors="replace").strip().splitlines()
        return (lines or ["it said nothing"])[-1] if process.returncode else ""
