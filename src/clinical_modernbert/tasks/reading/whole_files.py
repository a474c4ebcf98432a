"""In: a file of a data folder that `below` or `find` gave. Out: its text or its XML tree, whole. Next: `loaders`."""

from pathlib import Path
from typing import TYPE_CHECKING

from clinical_modernbert.formats.refusal import Refused
from clinical_modernbert.formats.text_files import read_text
from clinical_modernbert.formats.xml_files import read_tree
from clinical_modernbert.tasks.reading.data_folder import DataFolder

if TYPE_CHECKING:
    from lxml import etree


def text_of(folder: DataFolder, path: Path) -> str:
    """The file's text.

    Raises:
        DataError: it cannot be read or is not UTF-8.
    """
    try:
        return read_text(path)
    except Refused as refused:
        raise folder.damaged(path, refused.reason, refused.where) from None


def tree_of(folder: DataFolder, path: Path) -> "etree._Element":
    """The root of an XML file; nothing outside of the file is read for it.

    Raises:
        DataError: it cannot be read or is no XML.
    """
    try:
        return read_tree(path)
    except Refused as refused:
        raise folder.damaged(path, refused.reason, refused.where) from None
