"""How a text file is written: encoding, line ends, stray NULs, delimiter, quotes."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atlas_lib.ingest.code_pages import code_page
from atlas_lib.ingest.headers import find_header

DELIMITERS = ",;\t|^~\x1f§¦:"
SAMPLE_SIZE = 64 * 1024
_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))  # fmt: skip
_SEP_LINE = re.compile(r"\Asep=(.)\s*\Z", re.IGNORECASE)
_ESCAPED_QUOTE = re.compile(r'(?<!\\)\\"(?![,;\t|\r\n])')
_FIELD_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True)
class Dialect:
    """Delimiter, quote and escape character of a text file."""

    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None

    def rows(self, text: str) -> list[list[str]]:
        """Records of fields. Raises csv.Error for a field beyond measure."""
        csv.field_size_limit(_FIELD_LIMIT)
        reader = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=self.delimiter,
            quotechar=self.quote,
            escapechar=self.escape,
            doublequote=True,
        )
        return list(reader)


def decode(content: bytes) -> tuple[str, str, str]:
    """(text, encoding, what has to be said of it). A byte order mark decides; else UTF-8; else the likeliest code page."""
    mark = next((name for start, name in _MARKS if content.startswith(start)), "") or _wide(content[:SAMPLE_SIZE])
    remark = ""
    try:
        encoding = mark or "utf-8"
        text = content.decode(encoding)
    except UnicodeDecodeError:
        encoding = mark or code_page(content)
        text = (
            content.decode(encoding, errors="replace" if mark else "strict")
            if encoding != "latin-1"
            else content.decode("latin-1")
        )
        remark = f"the text is no UTF-8 and is read as {encoding}; save it as UTF-8 if letters such as ä or é are wrong"
    if "\0" in text:
        remark = f"{text.count(chr(0)):,} NUL characters are left out" + (f"; {remark}" if remark else "")
        text = text.replace("\0", "")
    return text, encoding, remark


def _wide(sample: bytes) -> str:
    """UTF-16 without a mark: every second byte of Western text is zero."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) / 2
    if len(sample) >= 4 and odd > 0.4 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if len(sample) >= 4 and even > 0.4 * half and odd < 0.05 * half else ""


def find_dialect(sample: str, *names: str) -> tuple[Dialect, list[list[str]]]:
    """The dialect under which a header is recognised, else the one that cuts most lines alike; and the sample's rows.

    A first line `sep=;` decides.
    """
    said = _SEP_LINE.match(sample.splitlines()[0]) if sample.strip() else None
    quote = _quote(sample)
    escape = "\\" if _ESCAPED_QUOTE.search(sample) else None
    found = []
    for delimiter in [said[1]] if said else [d for d in DELIMITERS if d in sample] or [","]:
        dialect = Dialect(delimiter, quote, escape)
        rows = dialect.rows(sample)
        fit = find_header(rows, *names)
        found.append(((len(fit.positions) if fit else 0, _evenness(rows)), dialect, rows))
    _, dialect, rows = max(found, key=lambda item: item[0])
    return dialect, rows


def _quote(sample: str) -> str:
    """A single quote where most fields stand in it and none in double ones."""
    single = len(re.findall(r"(?:^|[,;\t|])'[^'\r\n]*'(?=[,;\t|\r\n]|$)", sample, re.MULTILINE))
    return "'" if '"' not in sample and single > 2 else '"'


def _evenness(rows: Sequence[Sequence[str]]) -> float:
    """Share of the rows that have the commonest number of fields, where that is more than one."""
    sizes = np.array([len(row) for row in rows if row], dtype=np.int64)
    many = sizes[sizes > 1]
    return float(np.bincount(many).max() / len(sizes)) if len(many) else 0.0
