"""`stream-app keys new`, `keys list` and `sign`: private keys for their owners, signatures beside artefacts."""

from base64 import b64decode
from pathlib import Path
from typing import Annotated

import typer

from models import archive, signing
from schemas.errors import UserError
from stream_app.cli.configured import settings
from stream_app.cli.terminal import out, out_json, say
from stream_app.rollout.trust import signing_key, trust

app = typer.Typer(rich_markup_mode=None)

group = typer.Typer(
    name="keys",
    help="Keys that sign models and commands.",
    epilog="Example: stream-app keys new ~/.stream-app/ann.key",
    rich_markup_mode=None,
    no_args_is_help=True,
)
app.add_typer(group)

Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@group.command("new", epilog="Example: stream-app keys new ~/.stream-app/ann.key")
def new(
    path: Annotated[Path, typer.Argument(metavar="NAME.key", help="Where the private key goes; never overwritten.")],
    as_json: Json = False,
) -> None:
    """Make an ed25519 key: the private one into a file that only you can read, the public one as a line of settings."""
    try:
        key = signing.new_key(path)
    except FileExistsError:
        raise UserError(f"{path} is there already: choose another name, a key is never overwritten") from None
    if as_json:
        out_json({"name": path.stem, "key_id": key.key_id, "public": key.public, "path": str(path)})
        return
    say(f"private key {key.key_id} in {path}; those who shall trust it put this under [trusted_keys]:")
    out(f'"{path.stem}" = "{key.public}"')


@group.command("list", epilog="Example: stream-app keys list --json")
def listing(as_json: Json = False) -> None:
    """Show whose signatures count here, and the key that commands given here are signed with."""
    chosen = settings()
    trust(chosen)
    own = signing_key(chosen) if chosen.signing_key is not None else None
    trusted = {name: signing.key_id(b64decode(public)) for name, public in chosen.trusted_keys.items()}
    if as_json:
        out_json({"signatures": chosen.signatures, "trusted": trusted, "own": own.key_id if own else None})
        return
    out(f"signatures: {chosen.signatures}")
    for name, key_id in trusted.items():
        out(f"{key_id}  {name}{'  (signs here)' if own and own.key_id == key_id else ''}")
    if own is not None and own.key_id not in trusted.values():
        out(f"{own.key_id}  signs here, and is not trusted here")


@app.command(epilog="Example: stream-app sign models/7.pt --key ~/.stream-app/ann.key")
def sign(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model artefact.")],
    key: Annotated[Path, typer.Option("--key", metavar="NAME.key", help="The private key.")],
) -> None:
    """Release MODEL: write its signature beside it, over its digest."""
    artefact = archive.read(model)
    out(f"{artefact.ref} signed in {signing.sign_artefact(model, artefact.sha256, signing.read_key(key))}")
