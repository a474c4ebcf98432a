"""In: an Attachment (FHIR R4, 4.0.1, data types). Out: its text, or the reason why it gives none. Next: `fhir`."""

import base64
import binascii
import codecs
import hashlib
import re
from dataclasses import dataclass
from typing import cast

from clinical_modernbert.sources.document import Json

PLAIN = "text/plain"
_HTML = ("text/html", "application/xhtml+xml")
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE | re.ASCII)
_DECLARED = re.compile(rb"""<(?:meta|\?xml)\b[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
_READ_CHARSETS = re.compile(r"utf-8|utf-16(-[lb]e)?|ascii|iso8859-\d+|cp125\d|gb2312|gbk|gb18030|big5|euc_jp|euc_kr|shift_jis|koi8-r")
_MIME = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,80}")

_SILENT = frozenset(("head", "script", "style", "template", "noscript"))
_LINES = frozenset(("br", "li", "dt", "dd", "tr", "option"))
_BLOCKS = frozenset(
    """address article aside blockquote body caption center div dl fieldset figure figcaption footer form h1 h2 h3 h4 h5 h6 header hr main
    nav ol p pre section table tbody tfoot thead ul""".split()  # noqa: SIM905 - one name a line is no better
)
_CELLS = frozenset(("td", "th"))
_SPACE = re.compile(r"[ \t\r\n\f]{2,}|[\t\r\n\f]")


class AttachmentError(Exception):
    """The attachment gives no text; the message says why and quotes nothing of it but its content type."""


@dataclass(frozen=True, slots=True)
class Text:
    """The text of an attachment and the content type it had."""

    content_type: str
    text: str

    def __post_init__(self) -> None:
        """Refuse what no document may hold."""
        if "\0" in self.text:
            raise AttachmentError("NUL character in the text")


def read_attachment(attachment: Json, max_bytes: int) -> Text:
    """The attachment's text; that of HTML without its tags, block elements on lines of their own.

    Raises:
        AttachmentError: it lies elsewhere, is too large or damaged, or of a kind that is not read here.
    """
    if not isinstance(attachment, dict):
        raise AttachmentError("attachment is not an object")
    given = attachment.get("contentType")
    content_type = given.partition(";")[0].strip().lower() if isinstance(given, str) else ""
    if content_type != PLAIN and content_type not in _HTML:
        kind = content_type if _MIME.fullmatch(content_type) else "an attachment without a valid content type"
        raise AttachmentError(f"{kind} is not read")
    content = _bytes(attachment, max_bytes)
    charset = _CHARSET.search(str(given))
    if content_type == PLAIN:
        return Text(content_type, _decode(content, charset[1] if charset else "utf-8"))
    declared = _DECLARED.search(content[:2048])
    html = _decode(content, charset[1] if charset else declared[1].decode("ascii") if declared else "utf-8")
    return Text(content_type, html_text(html))


def plain_text(value: Json) -> Text:
    """A text that stands in a resource itself.

    Raises:
        AttachmentError: it is none.
    """
    if not isinstance(value, str):
        raise AttachmentError("not text")
    return Text(PLAIN, value)


def _bytes(attachment: dict[str, Json], max_bytes: int) -> bytes:
    data, size, digest = attachment.get("data"), attachment.get("size"), attachment.get("hash")
    if data is None:
        raise AttachmentError("attachment lies elsewhere" if attachment.get("url") else "attachment without data")
    if not isinstance(data, str):
        raise AttachmentError("data is not text")
    packed = "".join(data.split())
    if len(packed) * 3 // 4 - packed[-2:].count("=") > max_bytes:
        raise AttachmentError(f"attachment of more than {max_bytes // 2**20} megabytes")
    try:
        content = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        raise AttachmentError("data is not base64") from None
    if isinstance(size, int) and not isinstance(size, bool) and size != len(content):
        raise AttachmentError("size is not that of the data")
    if isinstance(digest, str) and digest.strip() != base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode():
        raise AttachmentError("hash is not that of the data")
    return content


def _decode(content: bytes, charset: str) -> str:
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        name = ""
    if not _READ_CHARSETS.fullmatch(name):
        raise AttachmentError("charset is not read")
    try:
        return content.decode(name).removeprefix("\ufeff")
    except UnicodeError:
        raise AttachmentError(f"text is not {name}") from None


def html_text(html: str) -> str:
    """What a reader of the page sees: tags, scripts and styles out, blocks and list items on lines of their own, cells apart by tabs.

    Nothing outside of the page is ever read.
    """
    from lxml import etree

    # Events, not a tree: a tree ends, without a word, at a depth of 256 or behind the first </html>.
    parser = etree.HTMLParser(target=_Reader(), encoding="utf-8", no_network=True, huge_tree=True)  # type: ignore[arg-type]
    text = cast(str, etree.fromstring(html.encode(), parser))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()


class _Reader:
    """Receives lxml's events; white space becomes one space but in `pre`, none at the start of a line."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._silent = self._preformatted = 0

    def start(self, tag: str, attributes: object) -> None:
        self._silent += tag in _SILENT
        self._preformatted += tag == "pre"
        if tag in _BLOCKS or tag in _LINES:
            self._pieces.append("\n")

    def end(self, tag: str) -> None:
        self._silent -= tag in _SILENT
        self._preformatted -= tag == "pre"
        if tag in _BLOCKS or tag in _CELLS:
            self._pieces.append("\n" if tag in _BLOCKS else "\t")

    def data(self, text: str) -> None:
        if not self._preformatted:
            text = _SPACE.sub(" ", text)
            text = text.lstrip(" ") if not self._pieces or self._pieces[-1].endswith((" ", "\n", "\t")) else text
        if text and not self._silent:
            self._pieces.append(text)

    def close(self) -> str:
        return "".join(self._pieces)
