"""The program as a user calls it: arguments in; exit code, stdout and stderr out."""

from typer.testing import CliRunner, Result

from stream_app.cli.app import app

COMMANDS = (
    "demo", "broker", "worker", "simulate", "produce", "consume", "deadletters", "show", "label", "train", "evaluate",
    "gate", "recalibrate", "latents", "define", "deploy", "rollback", "models", "shadow", "canary", "promote",
    "abort", "freeze", "unfreeze", "status", "verify", "doctor", "audit",
    "drift", "drift-report", "replay", "registry", "keys", "sign", "rights", "warm-up", "rekey", "notify",
)  # fmt: skip


def stream_app(*args: object, **environment: object) -> Result:
    """Run one command. Keyword arguments become environment variables; unless one says where, nothing is tracked."""
    given = {"STREAM_APP_TRACKING_URI": "", **environment}
    return CliRunner().invoke(app, [str(arg) for arg in args], env={k: str(v) for k, v in given.items()})
