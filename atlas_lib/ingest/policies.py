"""Policies in force, from their parameters (`key=value; key=value`, a key may come again) to tables that SQL can join.

Understood: AML threshold, currency, window_days, min_count, margin_rate; REGIONAL_LIMIT country, limit, currency;
BLACKLIST user_id, merchant_id, account, name, alias; several values may be joined by commas.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from atlas_lib.core.money import exponent

_DAY_US = 86_400_000_000
# Without any AML policy in the input: the usual reporting threshold, in units of each currency.
_DEFAULT_AML = {"threshold": ["10000"], "window_days": ["7"], "min_count": ["3"], "margin_rate": ["0.1"]}
_SUBJECTS = {"user_id": "user", "user": "user", "users": "user", "merchant_id": "merchant", "merchant": "merchant", "merchants": "merchant", "account": "account", "accounts": "account"}  # fmt: skip
_NAMES = ("name", "names", "alias", "aliases")
Parameters = dict[str, list[str]]


def read_parameters(text: str) -> Parameters:
    """`read_parameters("limit=4000; country=AT, DE") == {"limit": ["4000"], "country": ["AT", "DE"]}`."""
    found: Parameters = {}
    for part in text.split(";"):
        key, mark, values = part.partition("=")
        if mark:
            found.setdefault(key.strip().lower(), []).extend(v.strip() for v in values.split(",") if v.strip())
    return found


def active(policies: pd.DataFrame, kind: str) -> list[tuple[str, Parameters]]:
    """(policy id, parameters) of the active policies of one type."""
    rows = policies[policies["is_active"] & (policies["policy_type"] == kind)]
    return [(i, read_parameters(p)) for i, p in zip(rows["policy_id"], rows["parameters"], strict=True)]


def aml_limits(policies: pd.DataFrame, currencies: Sequence[str]) -> pd.DataFrame:
    """Per currency: threshold, the floor just under it, the window and how many payments make a pattern."""
    has_any = (policies["policy_type"] == "AML").any()
    rules = active(policies, "AML") if has_any else [("default", _DEFAULT_AML)]
    rows = [
        (policy, code, *_threshold(given, code), int(float(_one(given, "window_days", "7")) * _DAY_US), int(_one(given, "min_count", "3")))
        for policy, given in rules
        if _number(given, ("threshold", "limit"))
        for code in given.get("currency", currencies)
    ]  # fmt: skip
    columns = ["policy_id", "currency", "threshold_minor", "floor_minor", "window_us", "min_count"]
    return _typed(rows, columns, texts=2).drop_duplicates("currency")


def regional_limits(policies: pd.DataFrame, currencies: Sequence[str]) -> pd.DataFrame:
    """Highest single payment per country of the merchant and currency."""
    rows = [
        (policy, country, code, _minor(limit, code))
        for policy, given in active(policies, "REGIONAL_LIMIT")
        for limit in _number(given, ("limit", "max_amount", "amount"))
        for country in [*given.get("country", []), *given.get("countries", [])]
        for code in given.get("currency", currencies)
    ]
    return _typed(rows, ["policy_id", "country", "currency", "limit_minor"], texts=3)


def blacklist(policies: pd.DataFrame) -> pd.DataFrame:
    """Listed users, merchants and accounts (kind, key), and names (kind `name`)."""
    rows = [
        (policy, "name" if key in _NAMES else _SUBJECTS[key], value)
        for policy, given in active(policies, "BLACKLIST")
        for key, values in given.items()
        if key in _NAMES or key in _SUBJECTS
        for value in values
    ]
    return _typed(rows, ["policy_id", "kind", "key"], texts=3).drop_duplicates(["kind", "key"])


def _threshold(given: Parameters, currency: str) -> tuple[int, int]:
    threshold = _number(given, ("threshold", "limit"))[0]
    margin = float(_one(given, "margin_rate", "0.1"))
    return _minor(threshold, currency), _minor(threshold * (1 - margin), currency)


def _minor(units: float, currency: str) -> int:
    return round(units * 10.0 ** exponent(currency))


def _number(given: Parameters, keys: Iterable[str]) -> list[float]:
    return [float(given[key][0]) for key in keys if given.get(key)][:1]


def _one(given: Parameters, key: str, default: str) -> str:
    return given.get(key, [default])[0]


def _typed(rows: Sequence[tuple[object, ...]], columns: list[str], texts: int) -> pd.DataFrame:
    types = {c: "str" if i < texts else "int64" for i, c in enumerate(columns)}
    return pd.DataFrame(rows, columns=columns).astype(types)
