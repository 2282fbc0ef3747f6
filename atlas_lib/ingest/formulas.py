"""What a reader of cell values does not see in a workbook: formulas without a result, error values, hidden rows, merges,
leading zeros.

Read from the sheet's XML (ECMA-376, part 1, section 18.3.1.4): a cell `c` with a formula `f` and no value `v`, or of
type `e` (an error such as #N/A). A formula whose stored result is an empty text (type `str`) is really empty. A number in
a format of zeros alone (section 18.8.31) is a number to the file and `000123` to the person who reads it: an id. The same
for .ods and .xls, but for these zeros, stands in older_formats.py.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atlas_lib.ingest.far_cells import Edges, far_edges

_WITHOUT_VALUE = re.compile(
    rb"<(?:\w+:)?c\b([^>]*[^/])>\s*<(?:\w+:)?f\b[^>]*?(?:/>|>([^<]*)</(?:\w+:)?f>)\s*(?:<(?:\w+:)?v\s*/>\s*|<(?:\w+:)?v></(?:\w+:)?v>\s*)?</(?:\w+:)?c>"
)
_ERROR = re.compile(
    rb'<(?:\w+:)?c\b([^>]*\bt="e"[^>]*)>(?:(?!</(?:\w+:)?c>).)*?<(?:\w+:)?v>([^<]*)</(?:\w+:)?v>', re.DOTALL
)
_PLACE = re.compile(rb'\br="([A-Z]{1,3}[0-9]{1,7})"')
_ZEROS = re.compile(r"0{2,15}")
_PADDED = rb'<(?:\w+:)?c\b([^>]*\bs="(%s)"[^>]*)>\s*(?:<(?:\w+:)?f\b[^>]*?(?:/>|>[^<]*</(?:\w+:)?f>)\s*)?<(?:\w+:)?v>(\d{1,15})</'
_HIDDEN_ROW = re.compile(rb'<(?:\w+:)?row\b[^>]*\bhidden="(?:1|true)"')
_HIDDEN_COLUMN = re.compile(rb'<(?:\w+:)?col\b[^>]*\bhidden="(?:1|true)"')


@dataclass(frozen=True)
class Unseen:
    """Of one sheet: cell (`P2`) to its formula (`=L2*N2`) or error value; how many rows and columns are hidden; where a far cell stands.

    `padded`: cell to its digits with the zeros that it shows.
    """

    gaps: dict[str, str] = field(default_factory=dict)
    hidden_rows: int = 0
    hidden_columns: int = 0
    merged: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()
    edges: Edges | None = None
    padded: dict[str, str] = field(default_factory=dict)


def look_behind(path: Path) -> dict[str, Unseen]:
    """Per sheet name, for .xlsx and .xlsm."""
    with zipfile.ZipFile(path) as archive:
        widths = _zero_formats(archive)
        return {name: _unseen(archive.read(part), widths) for name, part in _sheet_parts(archive).items()}


def xml_parser(**options: Any) -> dict[str, Any]:
    """Options of an lxml parser that expands no entity and fetches nothing."""
    return {"resolve_entities": False, "no_network": True, "load_dtd": False, **options}


def _unseen(xml: bytes, widths: dict[str, int]) -> Unseen:
    """A plain search first: most large sheets hold neither formulas nor anything hidden."""
    is_prefixed = b":c" in xml
    has_gaps = b"<f" in xml or (is_prefixed and b":f" in xml) or b't="e"' in xml
    hidden = b"hidden=" in xml
    rows = len(_HIDDEN_ROW.findall(xml)) if hidden else 0
    columns = len(_HIDDEN_COLUMN.findall(xml)) if hidden else 0
    edges, padded = far_edges(xml, is_prefixed), _padded(xml, widths) if widths else {}
    return Unseen(_gaps(xml) if has_gaps else {}, rows, columns, edges=edges, padded=padded)


def _gaps(xml: bytes) -> dict[str, str]:
    from html import unescape

    found = {}
    for pattern, sign in ((_WITHOUT_VALUE, "="), (_ERROR, "")):
        for attributes, text in pattern.findall(xml):
            place = _PLACE.search(attributes)
            if place and not (sign and b't="str"' in attributes):
                found[place[1].decode()] = sign + unescape(text.decode("utf-8", "replace"))
    return found


def _zero_formats(archive: zipfile.ZipFile) -> dict[str, int]:
    """Number of a cell style to the digits that its format of zeros fills up to."""
    from lxml import etree

    if "xl/styles.xml" not in archive.namelist():
        return {}
    styles = etree.fromstring(archive.read("xl/styles.xml"), etree.XMLParser(**xml_parser()))
    codes = {f.get("numFmtId"): str(f.get("formatCode")) for f in styles.iterfind(".//{*}numFmts/{*}numFmt")}
    used = [codes.get(xf.get("numFmtId"), "") for xf in styles.iterfind("{*}cellXfs/{*}xf")]
    return {str(number): len(code) for number, code in enumerate(used) if _ZEROS.fullmatch(code)}


def _padded(xml: bytes, widths: dict[str, int]) -> dict[str, str]:
    """Cells with fewer digits than their format shows."""
    found = {}
    for attributes, style, digits in re.findall(_PADDED % "|".join(widths).encode(), xml):
        place, shown = _PLACE.search(attributes), digits.decode().zfill(widths[style.decode()])
        if place and len(shown) > len(digits) and b't="' not in attributes.replace(b't="n"', b""):
            found[place[1].decode()] = shown
    return found


def _sheet_parts(archive: zipfile.ZipFile) -> dict[str, str]:
    """Sheet name to the part of the archive that holds it."""
    from lxml import etree

    parser = etree.XMLParser(**xml_parser())
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
