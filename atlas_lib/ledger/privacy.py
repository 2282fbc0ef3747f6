"""Personal data stays out of the ledger: what is appended can never be taken back.

Free text (a bank's answer, a person's reason) may name an account or an address, so in the details of every event an
IBAN keeps its country and last four characters (`DE**3000`), and an e-mail address keeps its domain (`**@example.org`).
Only an IBAN whose check digits are right (ISO 13616, mod 97-10) is one: other references stay whole.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

# Written in one piece, or in groups of four. RF is no country: it begins a creditor reference (ISO 11649).
_GROUPED, _WHOLE = r"(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?", r"[A-Z0-9]{11,30}"
_IBAN = re.compile(rf"(?<![A-Z0-9])(?!RF)[A-Z]{{2}}\d{{2}}(?:{_GROUPED}|{_WHOLE})(?![A-Z0-9])")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+(@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
_EITHER = r"@|[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}"


def mask_details(details: pa.LargeStringArray) -> pa.LargeStringArray:
    """The texts with IBANs and e-mail addresses masked; most hold neither and are returned as they are."""
    suspects = pc.fill_null(pc.match_substring_regex(details, _EITHER), False)
    if not pc.any(suspects).as_py():
        return details
    masked = [_mask(text) for text in details.filter(suspects).to_pylist()]
    return pc.replace_with_mask(details, suspects, pa.array(masked, pa.large_string()))


def _mask(text: str) -> str:
    return _IBAN.sub(_mask_iban, _EMAIL.sub(r"**\1", text))


def _mask_iban(found: re.Match[str]) -> str:
    whole = found.group().replace(" ", "")
    digits = "".join(str(int(c, 36)) for c in whole[4:] + whole[:4])
    if int(digits) % 97 == 1:
        return f"{whole[:2]}**{whole[-4:]}"
    return found.group()[:4] + _IBAN.sub(_mask_iban, found.group()[4:])
