"""Account numbers in texts: found by their shape, and shown as country and the last characters."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

# ISO 13616: country, two check digits, 11 to 30 letters and digits; as one word or in groups of four. In small letters not
# after a capital and a hyphen: our own ids begin so.
_SHAPE = r"((?:^|[^A-Za-z0-9-]|[^A-Z]-)[A-Za-z]{2}|[A-Z]{2})[0-9]{2}(?:[A-Za-z0-9]{7,26}([A-Za-z0-9]{4})|(?:[ -][A-Z0-9]{4}){2,6}[ -]([A-Z0-9]{1,4}))"
_WORD = re.compile(r"\b[A-Z]{2}[0-9]{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)\b")


def masked_in_sql(column: str) -> str:
    """An expression: the text of the column with its account numbers as `DE** **** 0334`."""
    return f"regexp_replace(\"{column}\", '{_SHAPE}', '\\1** **** \\2\\3', 'g')"


def mask_text(text: str) -> str:
    """A text with every account number in it as `DE** **** 0334`."""
    return re.sub(_SHAPE, r"\1** **** \2\3", text)


def mask_page(page: str, wrong: AbstractSet[str]) -> str:
    """A report page, its charts' data left whole: only valid account numbers and the known `wrong` ones are masked."""
    from schwifty import IBAN

    def shown(found: re.Match[str]) -> str:
        word = found[0].replace(" ", "")
        return mask_text(found[0]) if word in wrong or IBAN(word, allow_invalid=True).is_valid else found[0]

    return _WORD.sub(shown, page)


def accounts_in(text: str) -> set[str]:
    """What looks like an account number, without blanks."""
    return {word.replace(" ", "") for word in _WORD.findall(text)}
