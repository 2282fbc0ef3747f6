"""Which code page a text without a mark was written in: the one under which it reads like one of its languages.

Statistics over bytes take French for Central European and a short Polish file for Western. Letters tell more: under the
wrong page `Wpłata` is `Wp³ata` and `señor` `seńor`, signs and letters that no one language has together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_GERMAN = "äöüß"
# Letters beyond ASCII of the languages that a page is used for: the alphabets as taught in schools.
_WESTERN = (
    _GERMAN, "àâæçéèêëîïôœùûüÿ", "áéíóúüñªº", "áâãàçéêíóôõúªº", "àèéìíòóùúªº", "åäöéü", "æøåéóô", "áðéíóúýþæö", "áéíóú", "éëïóèêöüáàâçûî", "àçèéíïòóúü",
)  # fmt: skip
_CENTRAL = (_GERMAN, "ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž", "ăâîşţ", "çë")
_CYRILLIC = (
    "абвгдежзийклмнопрстуфхцчшщъыьэюяё№",
    "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя№",
    "абвгдђежзијклљмнњопрстћуфхцчџш№",
)
CODE_PAGES = {
    "cp1252": _WESTERN, "cp1250": _CENTRAL, "cp1251": _CYRILLIC, "cp850": _WESTERN, "mac_roman": _WESTERN, "iso8859_2": _CENTRAL, "iso8859_15": _WESTERN,
}  # fmt: skip
_QUOTES = "’‘‚“”„«»‹›"
_BEYOND = re.compile(r"(?<=(.))([^\x00-\x7f])(?=(.))", re.DOTALL)
_SAMPLE_SIZE, _SAMPLE_LINES, _FEW_LINES = 2**20, 500, 20
_LEAST = 0.6  # share of the letters; below, no page makes sense


def code_page(content: bytes) -> str:
    """The page under which the lines with bytes beyond ASCII read best, of equals the commonest; it decodes all of them.

    Where none reads well, statistics decide, given lines enough.
    """
    lines = re.findall(rb"[^\r\n]*[\x80-\xff][^\r\n]*", content[:_SAMPLE_SIZE])[:_SAMPLE_LINES]
    shares = {page: _share(lines, page) for page in CODE_PAGES}
    pages = sorted(CODE_PAGES, key=lambda page: -shares[page])
    if shares[pages[0]] < _LEAST:
        pages = [*_by_statistics(lines), *CODE_PAGES]
    return next((page for page in pages if _decodes(content, page)), "latin-1")


def _by_statistics(lines: Sequence[bytes]) -> list[str]:
    from charset_normalizer import from_bytes

    best = from_bytes(b"\n".join(lines), cp_isolation=[*CODE_PAGES]).best() if len(lines) >= _FEW_LINES else None
    return [best.encoding] if best else []


def _decodes(content: bytes, page: str) -> bool:
    try:
        content.decode(page)
    except UnicodeDecodeError:
        return False
    return True


def _share(lines: Sequence[bytes], page: str) -> float:
    """Of the signs beyond ASCII those that belong into a text of the language that has most of them."""
    try:
        text = " " + b" \n ".join(lines).decode(page) + " "
    except UnicodeDecodeError:
        return 0.0
    found = Counter(_role(*signs) for signs in _BEYOND.findall(text))
    total = sum(found.values()) - found.pop("neutral", 0)
    return (
        max(sum(found[letter] for letter in set(language)) for language in CODE_PAGES[page]) / total if total else 0.0
    )


def _role(before: str, sign: str, after: str) -> str:
    """The letter in lower case where it may stand; `neutral` for a sign beside words; empty for what is out of place."""
    if not sign.isalpha():
        is_within = after.isalpha() and (before.isalpha() or sign not in _QUOTES)
        return "" if is_within and sign != "’" else "neutral"
    is_cyrillic = "\u0400" <= sign <= "\u04ff"
    is_mixed = is_cyrillic and any(c.isascii() and c.isalpha() for c in (before, after))
    return "" if is_mixed or (sign.isupper() and before.islower()) else sign.lower()
