"""`stream-app rights list` and `rights grant`: who may do what on the cluster, and the command that sees to it."""

from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from stream_app.audit.record import audit_record
from stream_app.cli.configured import connected_settings, settings
from stream_app.cli.invocation import issuer
from stream_app.cli.terminal import console, out, out_json, waiting
from stream_app.kafka import roles, topics
from stream_app.kafka.access import Access, AccessEntry, AccessOutcome
from stream_app.kafka.roles import ROLES, Role
from stream_app.rollout.control_producer import ControlProducer

app = typer.Typer(rich_markup_mode=None)

group = typer.Typer(
    name="rights",
    help="Who may do what on the cluster.",
    epilog="Example: stream-app rights grant --secrets /run/secrets",
    rich_markup_mode=None,
    no_args_is_help=True,
)
app.add_typer(group)

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@group.command("list", epilog="Example: stream-app rights list --json")
def listing(as_json: Json = False) -> None:
    """Show each role, and every right that it has here. Asks no cluster."""
    chosen = settings()
    declared = [(role, roles.rights(chosen, role)) for role in roles.ROLES]
    if as_json:
        out_json({role.name: {"purpose": role.purpose, "rights": those} for role, those in declared})
        return
    for role, those in declared:
        out(f"{role.name}: {role.purpose}")
        for (resource, name), entries in groupby(those, lambda right: (right.resource, str(right))):
            out(f"  {resource:<16}  {name:<30}  {', '.join(right.operation for right in entries)}")


@group.command("grant", epilog="Example: stream-app rights grant operator --user ann --secrets secrets")
def grant(
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ROLE]...", help="As `rights list` names them. Default: all of them.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who gets it, of one ROLE. Default: APP_ID-ROLE.")
    ] = None,
    secrets: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Make the users too (SCRAM), with the passwords in FOLDER/USER.json, or new ones."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is there and what is missing.")] = False,
    as_json: Json = False,
) -> None:
    """Let users do what each ROLE does, and nothing else. For an administrator of the cluster.

    Creates topics that are missing. What is there stays: do it again after each upgrade. Exit code 1 of --dry-run:
    something is missing.
    """
    chosen_roles = _roles(names)
    if user is not None and len(chosen_roles) != 1:
        raise typer.BadParameter("name one ROLE to go with it", param_hint="--user")
    chosen = connected_settings()

    if not dry_run:
        topics.ensure(chosen)
    access, entries = Access(chosen, dry_run), []
    with waiting("granting") as tell, closing(ControlProducer(chosen)) as publisher:
        for role in chosen_roles:
            name = user or roles.user(chosen, role)
            tell(name)
            done = access.grant(role, name, secrets / f"{name}.json" if secrets else None)
            entries += done
            changed = sum(entry.outcome in (AccessOutcome.MADE, AccessOutcome.SET) for entry in done)
            if changed:
                publisher.audit(audit_record(issuer(), "grant", name, effect=f"{role.name}: {changed} made or set"))
    _show(entries, as_json)
    if any(entry.outcome is AccessOutcome.MISSING for entry in entries):
        raise typer.Exit(1)


def _roles(names: list[str] | None) -> list[Role]:
    known = {role.name: role for role in ROLES}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise typer.BadParameter(f"there is no role {', '.join(unknown)}: there are {', '.join(known)}")
    return [known[name] for name in names or known]


def _show(entries: list[AccessEntry], as_json: bool) -> None:
    if as_json:
        out_json(entries)
        return

    table = Table("user", "on", "name", "may", "outcome")
    for (who, what, name, outcome), those in groupby(entries, lambda e: (e.user, e.what, e.name, e.outcome)):
        table.add_row(who, what, name, ", ".join(entry.operation for entry in those), outcome)
    console().print(table)
