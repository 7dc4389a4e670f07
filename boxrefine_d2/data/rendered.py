"""Names of rendered images: "BASE:SPLIT/NUMBER", such as "scenes:train/000012".

Other names of images are files on disk. `scenes` renders the images.
"""

RENDERED_BASES = ("scenes", "kinds", "fine", "pair")
_PREFIXES = tuple(f"{base}:" for base in RENDERED_BASES)


def is_rendered(file_name: str) -> bool:
    """Return True if the `file_name` of a record names a rendered image."""
    return file_name.startswith(_PREFIXES)


def without_base(file_name: str) -> str:
    """Return a name without the base of a rendered image; a path on disk stays as it is."""
    return file_name.partition(":")[2] if is_rendered(file_name) else file_name
