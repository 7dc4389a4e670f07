"""Text from outside as text of a page: whatever it holds, it is shown and does nothing."""

import html

from boxrefine_d2.files.names import shown_name


def escape(text: object) -> str:
    """Return a text for an element or a quoted attribute of a page.

    Markup is shown as it is written; what cannot be shown, or written as UTF-8, becomes escapes.

    >>> escape("<b>caf\\udce9</b>")
    '&lt;b&gt;caf\\\\xe9&lt;/b&gt;'
    """
    return html.escape(shown_name(str(text)))
