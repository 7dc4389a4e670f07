from html.parser import HTMLParser


class Page(HTMLParser):
    """Elements, text and resources of a page; the parser fails on tags that do not match."""

    def __init__(self, text: str, void: set[str]):
        """Parse a page. Args: void: elements without an end tag."""
        super().__init__()
        self.void = void
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def count(self, tag: str, css: str = "") -> int:
        return sum(
            t == tag and css in (a.get("class") or "").split() + [""] for t, a in self.elements
        )
