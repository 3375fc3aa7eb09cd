"""Plain notes to Tave's HTML and back: one paragraph a line. Pure."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser

_BLOCKS = frozenset(
    {"p", "div", "li", "ul", "ol", "tr", "table", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "pre"}
)
_UNSEEN = frozenset({"script", "style", "head", "title"})


def to_html(text: str | None) -> str | None:
    """Return the text as HTML that looks the same."""
    if text is None:
        return None
    return "".join(f"<p>{escape(line, quote=False) or '<br>'}</p>" for line in text.split("\n"))


def to_text(html: str | None) -> str | None:
    """Return what a reader of the HTML sees, as lines; None if that is nothing."""
    reader = _Reader()
    reader.feed(html or "")
    reader.close()
    return "\n".join(reader.lines).strip() or None


class _Reader(HTMLParser):
    """Collects the lines a browser would show."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self._open = False
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in _UNSEEN:
            self._unseen += 1
        if tag == "br" and not self._open:
            self.lines.append("")
        if tag in _BLOCKS or tag == "br":
            self._open = False

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        if tag in _BLOCKS:
            self._open = False

    def handle_data(self, data: str) -> None:
        # White space with a line break in it is how the source is laid out, not what it says.
        if self._unseen or ("\n" in data and not data.strip()):
            return
        shown = data.replace("\n", " ")
        if self._open:
            self.lines[-1] += shown
        else:
            self.lines.append(shown)
            self._open = True
