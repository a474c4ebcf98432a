"""In: an XML file of i2b2. Out: its tree, the known slips of the official files put right. Next: `i2b2_xml`, `i2b2_2006`.

Nothing outside of the file is ever read: no DTD, no entity, no network.
"""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_modernbert.formats.refusal import Refused
from clinical_modernbert.formats.text_files import read_text

if TYPE_CHECKING:
    from lxml import etree

logger = logging.getLogger(__name__)

_DECLARATION = re.compile(r"<\?xml[^>]{0,200}\?>")
_BARE_AMPERSAND = re.compile(r"&(?![A-Za-z#][\w.-]{0,40};)")
_UNCLOSED = re.compile(r'(<PHI TYPE="[^"<>]{0,40}">[^<]{1,1000})<PHI TYPE="[^"<>]{0,40}">')
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_tree(path: Path) -> "etree._Element":
    """The root element, without comments and processing instructions.

    In some official files an ampersand stands bare (2012), a second XML declaration or white space before the first (2014), or a
    `PHI` is closed by another one's start (2006): a file that is no XML is read again with these put right, which the log says.

    Raises:
        Refused: it cannot be read, is no XML, or depends on an entity that only a DTD could explain.
    """
    text = read_text(path).removeprefix("\ufeff").lstrip()
    declaration = _DECLARATION.match(text)
    text = text[declaration.end() :] if declaration else text
    try:
        return _parsed(text)
    except Refused:
        tree = _parsed(_put_right(text))
    logger.warning("%s: no well-formed XML; read with its bare ampersands, second declarations and unclosed PHI put right", path)
    return tree


def _parsed(text: str) -> "etree._Element":
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True, encoding="utf-8"
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise Refused("not well-formed XML", f"line {error.lineno}" if error.lineno else "the whole file") from None
    if next(root.iter(etree.Entity), None) is not None:
        raise Refused("an XML entity that only a DTD could explain")
    return root


def _put_right(text: str) -> str:
    """The text with known slips corrected, but nothing in CDATA."""
    text = _UNCLOSED.sub(r"\1</PHI>", text)
    parts: list[str] = []
    done = 0
    while (start := text.find("<![CDATA[", done)) >= 0 and (end := text.find("]]>", start)) >= 0:
        parts += [_corrected(text[done:start]), text[start:end]]
        done = end
    return "".join((*parts, _corrected(text[done:])))


def _corrected(markup: str) -> str:
    return _BARE_AMPERSAND.sub("&amp;", _DECLARATION.sub("", markup))


def is_xml_text(text: str) -> bool:
    """Whether XML can hold each character."""
    return _NO_XML.search(text) is None


def set_text(element: "etree._Element", text: str) -> None:
    """Give an element its text as CDATA, as the official files have it, or escaped where CDATA would lose a character."""
    from lxml import etree

    element.text = text if "]]>" in text or "\r" in text else etree.CDATA(text)


def to_xml(root: "etree._Element") -> str:
    """The file of a tree."""
    from lxml import etree

    return f'<?xml version="1.0" encoding="UTF-8"?>\n{etree.tostring(root, encoding="unicode")}\n'
