"""Customers are shown by a mask of their id: rows can be joined by it, and nobody is named."""

from __future__ import annotations

import hashlib
import hmac
import os
import re

import pandas as pd

from atlas_lib.core.errors import SettingsError

EXAMPLE_KEY = "example key, not a secret"
_VARIABLE = "ATLAS_MASK_KEY"
_NAMES = "([Uu]ser |[Pp]ayer )"
_BLOCK = 64  # bytes that SHA-256 takes at a time


def mask_key(otherwise: str = EXAMPLE_KEY) -> str:
    """The secret in `ATLAS_MASK_KEY`; the example key protects nobody, and is there so that a run without a secret shows masks too."""
    return os.environ.get(_VARIABLE, "") or otherwise


def mask_users(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    """The same rows with `user_id`, or `subject_id` of scope user, replaced by a keyed hash (HMAC-SHA-256, 12 hex digits), also
    where `detail` names the same user.

    The same user and key give the same mask, so rows can still be joined; without the key a mask cannot
    be made from a guessed id.
    """
    if not key:
        raise SettingsError("No key to mask user ids with", expected="a secret text of any length")
    column = "user_id" if "user_id" in frame else "subject_id"
    is_user = frame[column].notna() & (frame[column] != "")
    if column == "subject_id":
        is_user &= frame["scope"] == "user"
    users = frame.loc[is_user, column]
    masks = users.map({user: "user-" + _mask(user, key) for user in users.unique()})
    masked = {column: frame[column].where(~is_user, masks).astype("str")}
    if "detail" in frame:
        own = zip(frame.loc[is_user, "detail"], users, masks, strict=True)
        named = pd.Series([_hidden(*row) for row in own], index=users.index, dtype="str")
        masked["detail"] = frame["detail"].where(~is_user, named)
    return frame.assign(**masked)


def _hidden(detail: str, user: str, mask: str) -> str:
    """Only where the word before says that it is a customer: an id may be as short as a figure."""
    return re.sub(rf"{_NAMES}{re.escape(user)}($|[^A-Za-z0-9])", rf"\g<1>{mask}\2", detail)


def _mask(user_id: str, key: str) -> str:
    return hmac.new(key.encode(), user_id.encode(), hashlib.sha256).hexdigest()[:12]


def masked_user_in_sql(column: str, key: str) -> str:
    """An expression: the mask of the id in the column, as `mask_users` makes it (HMAC of RFC 2104, written out)."""
    secret = key.encode()
    secret = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
    inner, outer = (f"unhex('{bytes(byte ^ pad for byte in secret).hex()}')" for pad in (0x36, 0x5C))
    return f"'user-' || left(sha256({outer} || unhex(sha256({inner} || encode(\"{column}\")))), 12)"


def detail_masked_in_sql(detail: str, key: str) -> str:
    """An expression: the text with the id of the row's `user_id` masked where it names the customer."""
    pattern = f"'{_NAMES}' || regexp_escape(\"user_id\") || '($|[^A-Za-z0-9])'"
    mask = f"'\\1' || {masked_user_in_sql('user_id', key)} || '\\2'"
    return f"CASE WHEN \"user_id\" <> '' THEN regexp_replace({detail}, {pattern}, {mask}, 'g') ELSE {detail} END"
