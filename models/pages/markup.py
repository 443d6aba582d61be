"""HTML pages from templates, by one engine that escapes every value that it is given.

What a page shows comes from manifests, records and settings, which anybody may have written. Only a `Markup` is taken
as it is, and `models.pages.pictures` alone makes one.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent


def page(template: Path, **values: object) -> str:
    """The page of a template, which may extend `base.html`.

    Raises:
        UndefinedError: the template names a value that is not there.
    """
    engine = Environment(
        loader=FileSystemLoader([template.parent, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    engine.filters["formatted"] = format
    return engine.get_template(template.name).render(values)
