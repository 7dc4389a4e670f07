"""Templates of this room's pages. They show every text from outside literally."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from boxrefine_d2.files.names import shown_name


def render(template: str, **values: object) -> Markup:
    """Return a template of `templates/`, filled in.

    Markup in a text is shown literally. Characters that cannot be shown, or written as UTF-8,
    become escapes. A result of this function is inserted into another template unchanged.

    Args:
        template: file, relative to `templates/`.
        values: values of the template's names.
    Raises: jinja2.TemplateError for a missing template, or for a missing value.
    """
    return Markup(_environment().get_template(template).render(values))


def number(value: float, *, digits: int = 1, signed: bool = False) -> str:
    """Return a rounded number with a true minus sign; a number that rounds to zero has none.

    >>> number(-1.25), number(-0.01), number(2.0, signed=True)
    ('−1.2', '0.0', '+2.0')
    """
    rounded = round(value, digits) + 0.0  # -0.0 becomes 0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "−")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("boxrefine_d2.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment


def _shown(value: object) -> str:
    """Return the text that a template writes for a value, before its markup is escaped."""
    return value if isinstance(value, Markup) else shown_name(str(value))
