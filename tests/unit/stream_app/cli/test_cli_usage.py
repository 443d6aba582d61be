"""How the program answers: help with examples, exit codes 0, 1 and 2, and one line for whatever goes wrong."""

import json
import os
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest
from typer.core import TyperCommand
from typer.main import get_group

from schemas.topics import OF_JSON
from stream_app.cli import app as program
from stream_app.cli import configured, help_words
from stream_app.cli.app import globals_first
from stream_app.cli.errors import report
from stream_app.kafka import clients
from tests.unit.stream_app.cli.cli_runner import COMMANDS, stream_app

NEED_KAFKA = [
    ("consume", "anomalies"),
    ("rollback",),
    ("shadow",),
    ("canary",),
    ("promote",),
    ("abort",),
    ("freeze",),
    ("models",),
    ("status",),
    ("verify",),
    ("audit",),
    ("audit", "verify"),
    ("drift", "list"),
    ("drift", "explain"),
    ("drift-report",),
    ("replay",),
    ("registry", "sync"),
    ("replay", "--anomaly", "transactions:0:0"),
    ("rights", "grant"),
]


def one_line(text: str) -> str:
    """The only line of a failure."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]


def test_help_lists_every_command():
    result = stream_app("--help")
    assert result.exit_code == 0
    assert all(f"\n  {command} " in result.stdout for command in COMMANDS)
    assert set(program.COMMANDS) == set(COMMANDS)


def test_help_has_every_command_in_a_group_with_its_whole_summary():
    grouped = [name for names in help_words.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(COMMANDS)
    text = "".join(stream_app("--help").stdout.split())
    assert [name for name, (_, said) in program.COMMANDS.items() if "".join(said.split()) not in text] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_options_have_types_and_ranges_in_words(command):
    text = stream_app(command, "--help").stdout
    assert [sign for sign in ("<int", "<float", "<str", "<path", "<list", "x>=", "<=x") if sign in text] == []


def test_the_version_is_that_of_the_package():
    result = stream_app("--version")
    assert (result.exit_code, result.stdout) == (0, f"stream-app {version('stream-app')}\n")


def test_the_shell_completes_commands_and_their_options():
    def completed(line: str) -> str:
        words = {"_STREAM_APP_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        program = "from stream_app.cli.app import main; main()"
        environment = {**os.environ, **words}
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
        )
        return done.stdout

    assert completed("stream-app dep").split() == ["deploy"]
    assert "--web-port" in completed("stream-app worker --")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_of_commands_says_what_the_command_says_of_itself(command):
    module, said = program.COMMANDS[command]
    own = get_group(import_module(f"stream_app.cli.{module}").app).commands[command]
    width = 62  # as wide as `--help` ever writes it
    assert TyperCommand(command, help=said).get_short_help_str(width) == own.get_short_help_str(width)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command):
    result = stream_app(command, "--help")
    assert result.exit_code == 0
    assert f"Example: stream-app {command}" in result.stdout


def test_help_names_every_topic():
    text = "".join(stream_app("consume", "--help").stdout.split())
    assert all(topic.name in text for topic in OF_JSON)


def test_help_loads_nothing_heavy():
    program = (
        "import sys; from stream_app.cli.app import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: print(sorted(set(sys.argv) & sys.modules.keys()))"
    )
    heavy = ["torch", "polars", "river", "faust", "pydantic", "confluent_kafka", "numpy", "rich.markdown"]
    done = subprocess.run([sys.executable, "-c", program, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_no_command_shows_the_help_and_counts_as_called_wrongly():
    result = stream_app()
    assert result.exit_code == 2
    assert "To begin:" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["prodcue"], "Did you mean 'produce'?"),
        (["produce"], "Missing argument"),
        (["produce", "x.parquet", "--rate", "0"], "--rate"),
        (["produce", "x.parquet", "--from", "yesterday"], "--from"),
        (["simulate", "x.parquet", "--drift-in", "country=AT"], "with --drift"),
        (["consume", "anomalys"], "choose one of transactions, anomalies"),
        (["status", "--no-such-option"], "--no-such-option"),
        (["deploy", "x.pt", "--override", " "], "say why"),
        (["worker", "--web-port", "99999"], "--web-port"),
        (["audit", "verify", "--head", "what?"], "OFFSET:SHA256"),
        (["audit", "erase"], "erase"),
        (["replay", "--from", "yesterday"], "--from"),
        (["replay", "--threshold", "1", "--budget", "0.1"], "give one"),
        (["replay", "--anomaly", "transactions:0:0", "--until", "5"], "one record"),
        (["replay", "--plot", "what-if.txt"], ".svg"),
        (["rights", "grant", "janitor"], "there is no role janitor"),
        (["rights", "grant", "--user", "ann"], "one ROLE"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(arguments, says):
    result = stream_app(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert says in one_line(result.stderr)


@pytest.mark.parametrize("command", NEED_KAFKA, ids=" ".join)
def test_a_dead_broker_is_one_line_that_says_what_to_do(command, free_address):
    result = stream_app(*command, "--bootstrap-servers", free_address)
    assert result.exit_code == 1
    assert result.stdout == ""
    line = one_line(result.stderr)
    assert free_address in line
    assert "stream-app broker" in line


def test_a_broker_that_was_started_a_moment_ago_is_waited_for(free_address, monkeypatch):
    monkeypatch.setattr(configured, "AT_HOME", free_address)
    monkeypatch.setattr(clients, "PROBE_S", 0.1)
    result = stream_app("models", "--bootstrap-servers", free_address)
    assert result.exit_code == 1
    waiting, gave_up = result.stderr.splitlines()
    assert waiting.startswith(f"waiting for Kafka at {free_address}")
    assert "stream-app broker" in gave_up


def test_a_group_without_a_command_shows_its_help_and_counts_as_called_wrongly():
    result = stream_app("drift")
    assert result.exit_code == 2
    assert "explain" in result.stdout


def test_a_wrong_setting_is_one_line_and_exit_code_2():
    result = stream_app("status", STREAM_APP_COMMIT_INTERVAL_MS="soon")
    assert result.exit_code == 2
    assert "commit_interval_ms" in one_line(result.stderr)


def test_a_misspelt_setting_is_told():
    result = stream_app("status", STREAM_APP_COMIT_INTERVAL_MS="5")
    assert result.exit_code == 2
    assert "STREAM_APP_COMIT_INTERVAL_MS" in one_line(result.stderr)


def test_data_that_is_not_there_says_how_to_make_some(tmp_path):
    result = stream_app("train", tmp_path / "none.parquet", "--out", tmp_path / "model.pt")
    assert result.exit_code == 1
    assert "stream-app simulate" in one_line(result.stderr)


def test_a_file_that_is_no_model_says_how_to_make_one(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"nothing of the kind")
    result = stream_app("evaluate", tmp_path / "model.pt", tmp_path / "none.parquet")
    assert result.exit_code == 1
    assert "stream-app train" in one_line(result.stderr)


def test_an_unforeseen_error_is_one_line_that_says_where_the_traceback_is(capsys):
    assert report(RuntimeError("two\nlines"), debug=False) == 1
    line = one_line(capsys.readouterr().err)
    assert "RuntimeError: two lines" in line
    assert "--debug" in line


def test_debug_shows_the_traceback(tmp_path):
    result = stream_app("evaluate", tmp_path / "none.pt", tmp_path / "none.parquet", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_a_reader_that_has_gone_is_no_failure():
    program = "import sys; from stream_app.cli.app import app; app(['consume', '--help'])"
    command = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    command.stdout.close()
    assert command.stderr.read() == b""
    assert command.wait(30) == 0


def in_a_shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which PRINT is a command that prints an odd character, as text and as JSON."""
    program = (
        "from stream_app.cli import app, terminal; import typer\n"
        "def show(): terminal.out('M\\xfcller \\U0001f98a'); terminal.out_json({'a': '\\xfc\\U0001f98a'})\n"
        "app.app.command('odd')(show); app.main()"
    )
    words = ["bash", "-c", line.replace("PRINT", f"{sys.executable} -c {shlex.quote(program)} odd")]
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    own = {**os.environ, **environment}
    return subprocess.run(words, capture_output=True, encoding=encoding, env=own, check=False)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_character_that_stdout_lacks_ends_no_command_and_json_stays_json(encoding):
    done = in_a_shell("PRINT", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    text, _, document = done.stdout.partition("\n")
    assert text.startswith("M")
    assert text.endswith(("\\ud83e\\udd8a", "\U0001f98a"))
    assert json.loads(document) == {"a": "\xfc\U0001f98a"}


def test_a_reader_that_has_gone_is_no_failure_of_a_table_either():
    program = (
        "from stream_app.cli import app, terminal\n"
        "def show(): terminal.console().print(('x' * 30 + '\\n') * 5_000)\n"
        "app.app.command('odd')(show); app.main()"
    )
    line = f"set -o pipefail; {sys.executable} -c {shlex.quote(program)} odd | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_behind_stdout_is_one_line_and_exit_code_1():
    done = in_a_shell("PRINT > /dev/full")
    assert done.returncode == 1
    assert one_line(done.stderr) == "stream-app: the output cannot be written: No space left on device"


def test_a_closed_stdout_is_no_traceback():
    done = in_a_shell("PRINT >&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        (["status", "--topic-prefix", "a-"], ["--topic-prefix", "a-", "status"]),
        (["status", "--json", "--bootstrap-servers=b:1"], ["--bootstrap-servers=b:1", "status", "--json"]),
        (["--debug", "status", "--debug"], ["--debug", "--debug", "status"]),
        (["produce", "--", "--debug"], ["produce", "--", "--debug"]),
        (["status", "--topic-prefix"], ["--topic-prefix", "status"]),
    ],
)
def test_global_options_may_stand_anywhere(given, ordered):
    assert globals_first(given) == ordered
