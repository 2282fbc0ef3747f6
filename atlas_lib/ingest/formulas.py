"""Formulas of a workbook that hold no result: what a reader of values shows as an empty cell.

Read from the sheet's XML (ECMA-376, part 1, section 18.3.1.4): a cell `c` with a formula `f` and no value `v`, or of
type `e` (an error such as #N/A). A formula whose stored result is an empty text (type `str`) is really empty.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from pathlib import Path

_WITHOUT_VALUE = re.compile(
    rb"<(?:\w+:)?c\b([^>]*[^/])>\s*<(?:\w+:)?f\b[^>]*?(?:/>|>([^<]*)</(?:\w+:)?f>)\s*(?:<(?:\w+:)?v\s*/>\s*|<(?:\w+:)?v></(?:\w+:)?v>\s*)?</(?:\w+:)?c>"
)
_ERROR = re.compile(
    rb'<(?:\w+:)?c\b([^>]*\bt="e"[^>]*)>(?:(?!</(?:\w+:)?c>).)*?<(?:\w+:)?v>([^<]*)</(?:\w+:)?v>', re.DOTALL
)
_PLACE = re.compile(rb'\br="([A-Z]{1,3}[0-9]{1,7})"')


def find_uncalculated(path: Path) -> dict[str, dict[str, str]]:
    """Per sheet name: cell (`P2`) to its formula (`=L2*N2`) or error value."""
    with zipfile.ZipFile(path) as archive:
        parts = _sheet_parts(archive)
        return {name: found for name, part in parts.items() if (found := _gaps(archive.read(part)))}


def cell_position(place: str) -> tuple[int, int]:
    """`cell_position("P2") == (1, 15)`: row and column counted from 0."""
    letters = place.rstrip("0123456789")
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return int(place[len(letters) :]) - 1, column - 1


def _gaps(xml: bytes) -> dict[str, str]:
    from html import unescape

    found = {}
    for pattern, sign in ((_WITHOUT_VALUE, "="), (_ERROR, "")):
        for attributes, text in pattern.findall(xml):
            place = _PLACE.search(attributes)
            if place and not (sign and b't="str"' in attributes):
                found[place[1].decode()] = sign + unescape(text.decode("utf-8", "replace"))
    return found


def _sheet_parts(archive: zipfile.ZipFile) -> dict[str, str]:
    """Sheet name to the part of the archive that holds it."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    names = set(archive.namelist())
    if not {"xl/workbook.xml", "xl/_rels/workbook.xml.rels"} <= names:
        return {}
    book = etree.fromstring(archive.read("xl/workbook.xml"), parser)
    links = etree.fromstring(archive.read("xl/_rels/workbook.xml.rels"), parser)
    targets = {
        link.get("Id"): posixpath.normpath(posixpath.join("/xl", link.get("Target", ""))).lstrip("/") for link in links
    }
    found: dict[str, str] = {}
    for sheet in book.iterfind(".//{*}sheet"):
        link = next((value for key, value in sheet.attrib.items() if str(key).endswith("}id")), "")
        if targets.get(link) in names:
            found[str(sheet.get("name"))] = targets[link]
    return found
