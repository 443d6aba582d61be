"""Virtual environments of peers whose versions clash with ours, under build/bench/venvs, made once.

Each holds its own library and what that pins; everything else (torch above all) is found in the environment that runs
the benchmark, which a path file puts last.
"""

import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

REQUIREMENTS = {
    "quix": ("quixstreams==3.28.1",),  # wants confluent-kafka < 2.13
    "bytewax": ("bytewax[kafka]==0.21.1",),
    "alibi": ("alibi-detect==0.13.0",),  # wants numpy < 2
}
PATIENCE_S = 300


class Unavailable(Exception):  # noqa: N818 - named after the state of the world
    """A peer's environment cannot be made here; the message is one line that says why."""


def python_for(name: str | None, folder: Path) -> Path:
    """The interpreter of a peer's environment, made if it is not there.

    Args:
        name: A key of `REQUIREMENTS`; None is our own environment.
        folder: Where environments are kept.

    Raises:
        Unavailable: it cannot be made.
    """
    if name is None:
        return Path(sys.executable)
    home, wanted = folder / name, "\n".join((sys.version, *REQUIREMENTS[name]))
    python, made = home / "bin" / "python", home / "made-of.txt"
    if not made.is_file() or made.read_text() != wanted:
        _uv(name, "venv", "--clear", "--python", sys.executable, str(home))
        _uv(name, "pip", "install", "--python", str(python), *REQUIREMENTS[name])
        _append_ours(home)
        made.write_text(wanted)
    return python


def _append_ours(home: Path) -> None:
    """What the peer does not bring comes from here: `.pth` paths stand behind the environment's own."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = home / "lib" / version / "site-packages"
    (site / "ours-last.pth").write_text(sysconfig.get_path("purelib") + "\n")


def _uv(name: str, *arguments: str) -> None:
    run(name, [sys.executable, "-m", "uv", "--quiet", *arguments])


def run(name: str, command: Sequence[str], limit_s: float = PATIENCE_S) -> None:
    """A command of a peer, to its end.

    Raises:
        Unavailable: it failed, or was not done in time.
    """
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit_s)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["it said nothing"]
        raise Unavailable(f"{name}: {lines[-1].strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{name}: not done within {limit_s:.0f} s") from error
