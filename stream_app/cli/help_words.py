"""How help reads: commands in groups with their whole summaries, types and ranges of options in words."""

from typing import Any

from typer import core

GROUPS = {
    "To begin": ("demo", "broker", "worker", "warm-up", "doctor"),
    "Data": ("simulate", "produce", "rekey", "consume", "deadletters"),
    "Models": ("define", "train", "evaluate", "recalibrate", "gate", "latents", "registry", "sign", "keys"),
    "In service": ("deploy", "rollback", "models", "shadow", "canary", "promote", "abort", "freeze", "unfreeze"),
    "What happens and why": ("status", "notify", "show", "label", "drift", "drift-report", "replay", "audit", "verify"),
    "The cluster": ("rights",),
}
WORDS = {"int": "NUMBER", "float": "NUMBER", "str": "TEXT", "Path": "PATH", "path": "PATH", "file": "FILE"}


def in_words() -> None:
    """From now on help names types and ranges as people do; an argument's name says what it is."""
    core.describe_number_range = number_range  # type: ignore[attr-defined,assignment]
    core.TyperOption.display_type = _option_type(core.TyperOption.display_type)  # type: ignore[method-assign]
    core.TyperArgument.display_type_rich = lambda self, ctx: ""  # type: ignore[method-assign]


def number_range(least: float | None, most: float | None) -> str | None:
    """What a number may be."""
    if least is None or most is None:
        return None if least is most else f"at most {most:g}" if least is None else f"at least {least:g}"
    return f"{least:g} to {most:g}"


def write_commands(commands: dict[str, Any], formatter: Any) -> None:
    """The commands, group by group; what stands in no group comes last."""
    grouped = {name for names in GROUPS.values() for name in names}
    others = {"Others": tuple(name for name in commands if name not in grouped)}
    widest = max(map(len, commands))
    for heading, names in (GROUPS | others).items():
        rows = [(name.ljust(widest), commands[name].help or "") for name in names if name in commands]
        if rows:
            with formatter.section(heading):
                formatter.write_dl(rows)


def _option_type(usual: Any) -> Any:
    def display_type(option: Any, context: Any) -> str:
        shown: str = usual(option, context)
        return WORDS.get(shown.strip("<>").removesuffix(" range"), shown.strip("<>"))

    return display_type
