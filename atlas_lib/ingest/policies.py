"""Policies in force: their parameters as tables, and the statements that find whom they meet.

Parameters are read from one text (`key=value; key=value`, a key may come again).

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
_FIGURES = ("threshold", "limit", "max_amount", "amount", "window_days", "min_count", "margin_rate")
_NAMES = ("name", "names", "alias", "aliases")
Parameters = dict[str, list[str]]

FLAG_STEPS = [
    (
        "near_threshold",
        """
        SELECT p.transaction_id, p.user_id, p.currency, p.amount_minor, p.created_us, l.window_us, l.min_count
        FROM payments p JOIN aml_limits l ON l.currency = p.currency
        WHERE p.user_id <> '' AND p.type = 'SALE' AND p.amount_minor < l.threshold_minor AND p.amount_minor >= l.floor_minor
        """,
    ),
    (
        "structured_ends",
        """
        SELECT a.transaction_id
        FROM near_threshold a JOIN near_threshold b
          ON b.user_id = a.user_id AND b.currency = a.currency
         AND b.created_us <= a.created_us AND b.created_us >= a.created_us - a.window_us
        GROUP BY a.transaction_id, a.min_count HAVING COUNT(*) >= a.min_count
        """,
    ),
    (
        "structured",
        """
        SELECT DISTINCT b.transaction_id, b.user_id, b.currency
        FROM structured_ends e JOIN near_threshold a ON a.transaction_id = e.transaction_id
        JOIN near_threshold b ON b.user_id = a.user_id AND b.currency = a.currency
         AND b.created_us <= a.created_us AND b.created_us >= a.created_us - a.window_us
        """,
    ),
    (
        "in_and_out",
        """
        SELECT DISTINCT s.transaction_id AS sale_id, r.transaction_id AS refund_id, s.user_id
        FROM payments s JOIN payments r ON r.user_id = s.user_id AND r.merchant_id = s.merchant_id AND r.currency = s.currency
        JOIN aml_limits l ON l.currency = s.currency
        WHERE s.user_id <> '' AND s.type = 'SALE' AND r.type = 'REFUND' AND s.amount_minor * 10 >= l.threshold_minor
          AND r.created_us >= s.created_us AND r.created_us <= s.created_us + 86400000000
          AND r.amount_minor <= s.amount_minor AND r.amount_minor * 10 >= s.amount_minor * 9
        """,
    ),
    (
        "sanctioned",
        """
        SELECT m.merchant_id, MIN(b.key) AS alias
        FROM merchants m JOIN blacklist b ON b.kind = 'name'
        WHERE text_distance(fold_text(m.merchant_name), fold_text(b.key)) * 8 <= LENGTH(fold_text(b.key))
        GROUP BY m.merchant_id
        """,
    ),
    (
        "flags",
        """
        SELECT p.transaction_id, 'KYC_REQUIRED' AS flag, 'KYC_REQUIRED' AS rule, p.merchant_id AS subject,
               concat('Merchant ', p.merchant_id, ' has KYC status ', m.kyc_status) AS detail
        FROM payments p JOIN merchants m ON m.merchant_id = p.merchant_id
        WHERE :is_kyc_active AND m.kyc_status <> 'COMPLETE'
        UNION ALL
        SELECT transaction_id, 'AML_PENDING', 'AML_STRUCTURING', user_id,
               concat('User ', user_id, ' pays again and again just under the threshold in ', currency)
        FROM structured
        UNION ALL
        SELECT sale_id, 'AML_PENDING', 'AML_RAPID_IN_OUT', user_id, concat('User ', user_id, ' gets a large payment back within a day') FROM in_and_out
        UNION ALL
        SELECT refund_id, 'AML_PENDING', 'AML_RAPID_IN_OUT', user_id, concat('User ', user_id, ' gets a large payment back within a day') FROM in_and_out
        UNION ALL
        SELECT p.transaction_id, 'REGIONAL_LIMIT', 'REGIONAL_LIMIT', p.merchant_id,
               concat('Merchant ', p.merchant_id, ' in ', r.country, ': single payment above the limit of policy ', r.policy_id)
        FROM payments p JOIN merchants m ON m.merchant_id = p.merchant_id
        JOIN regional_limits r ON r.country = m.country AND r.currency = p.currency
        WHERE p.amount_minor > r.limit_minor
        UNION ALL
        SELECT p.transaction_id, 'BLACKLISTED', 'BLACKLISTED', b.key, concat('Listed ', b.kind, ' ', b.key, ', policy ', b.policy_id)
        FROM payments p JOIN blacklist b
          ON (b.kind = 'user' AND b.key = p.user_id) OR (b.kind = 'merchant' AND b.key = p.merchant_id)
          OR (b.kind = 'account' AND (b.key = p.source_account OR b.key = p.destination_account))
        UNION ALL
        SELECT p.transaction_id, 'SANCTIONS_MATCH', 'SANCTIONS_MATCH', s.merchant_id,
               concat('Merchant ', s.merchant_id, ' has the listed name ', s.alias)
        FROM payments p JOIN sanctioned s ON s.merchant_id = p.merchant_id
        """,
    ),
    (
        "flagged",
        """
        SELECT transaction_id,
               concat_ws('; ', MAX(CASE WHEN flag = 'KYC_REQUIRED' THEN flag END), MAX(CASE WHEN flag = 'AML_PENDING' THEN flag END),
                         MAX(CASE WHEN flag = 'REGIONAL_LIMIT' THEN flag END), MAX(CASE WHEN flag = 'BLACKLISTED' THEN flag END),
                         MAX(CASE WHEN flag = 'SANCTIONS_MATCH' THEN flag END)) AS policy_flags
        FROM flags GROUP BY transaction_id
        """,
    ),
]


def read_parameters(text: str) -> Parameters:
    """`read_parameters("limit=4000; country=AT, DE") == {"limit": ["4000"], "country": ["AT", "DE"]}`."""
    found: Parameters = {}
    for part in text.split(";"):
        key, mark, values = part.partition("=")
        if mark:
            found.setdefault(key.strip().lower(), []).extend(v.strip() for v in values.split(",") if v.strip())
    return found


def unreadable(text: str) -> bool:
    """Whether a figure among the parameters is no number."""
    given = read_parameters(text)
    return any(not _is_number(v) for key in _FIGURES for v in given.get(key, []))


def _is_number(text: str) -> bool:
    try:
        return 0 <= float(text) < 1e12
    except ValueError:
        return False


def active(policies: pd.DataFrame, kind: str) -> list[tuple[str, Parameters]]:
    """(policy id, parameters) of the active policies of one type."""
    rows = policies[policies["is_active"] & (policies["policy_type"] == kind)]
    return [(i, read_parameters(p)) for i, p in zip(rows["policy_id"], rows["parameters"], strict=True)]


def aml_limits(policies: pd.DataFrame, currencies: Sequence[str]) -> pd.DataFrame:
    """Per currency: threshold, the floor just under it, the window and how many payments make a pattern."""
    has_any = (policies["policy_type"] == "AML").any()
    rules = active(policies, "AML") if has_any else [("default", _DEFAULT_AML)]
    rows = [
        (policy, code, *_threshold(given, code), int(float(_one(given, "window_days", "7")) * _DAY_US), int(float(_one(given, "min_count", "3"))))
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
