"""Errors for users have one root, and the tree that is drawn beside it is the tree that there is."""

import importlib
import pkgutil

import models
import schemas.errors
import stream_app
from schemas.errors import UserError


def tree(error: type[UserError], depth: int = 0) -> list[tuple[int, str]]:
    below = sorted(error.__subclasses__(), key=lambda kind: kind.__name__)
    return [line for kind in below for line in [(depth, kind.__name__), *tree(kind, depth + 1)]]


def test_the_tree_of_user_errors_is_drawn_as_it_is() -> None:
    for room in (models, stream_app):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            importlib.import_module(module.name)
    drawn = [line for line in (schemas.errors.__doc__ or "").splitlines() if line.startswith(" " * 8)]
    names = [((len(line) - len(line.lstrip()) - 8) // 2, line.split()[0]) for line in drawn]
    assert sorted(names) == sorted(tree(UserError))


def test_a_wrong_call_has_an_exit_code_of_its_own() -> None:
    wrong_calls = {name for _, name in tree(UserError) if name in ("LimitsError", "SettingsError", "TomlError")}
    assert {kind.__name__ for kind in UserError.__subclasses__() if kind.exit_code == 2} == wrong_calls
