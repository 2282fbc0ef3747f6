"""Policies in force: their parameters as tables, and the statements that find whom they meet.

Parameters are read from one text (`key=value; key=value`, a key may come again).

Understood: AML threshold, currency and the figures of `aml`; REGIONAL_LIMIT country, limit, currency;
BLACKLIST user_id, merchant_id, counterparty_id, account, name, alias; several values but figures may be joined by
commas. Figures are whole or have a decimal point, without thousands separators. A policy that names a currency goes
before one for all of them. Parameters that mean nothing to the type, and policies that can meet nobody, are noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from atlas_lib.core.money import currency_codes, exponent, format_minor
from atlas_lib.ingest import aml

_SUBJECTS = {
    "user_id": "user", "user": "user", "users": "user", "merchant_id": "merchant", "merchant": "merchant", "merchants": "merchant",
    "counterparty_id": "counterparty", "counterparty": "counterparty", "account": "account", "accounts": "account",
}  # fmt: skip
_LIMITS = ("limit", "max_amount", "amount")
_FIGURES = (*_LIMITS, *aml.DEFAULTS)
_NAMES = ("name", "names", "alias", "aliases")
_COUNTRIES, _CODES = ("country", "countries"), ("currency", "country", "countries")
# What a type understands, and what it cannot do without: one of each group.
_KNOWN: dict[str, set[str]] = {
    "AML": {"limit", "currency", *aml.DEFAULTS},
    "REGIONAL_LIMIT": {*_LIMITS, *_CODES},
    "BLACKLIST": {*_SUBJECTS, *_NAMES},
    "KYC": {"required_status"},
}
_NEEDED: dict[str, list[tuple[str, ...]]] = {
    "REGIONAL_LIMIT": [_LIMITS, _COUNTRIES],
    "BLACKLIST": [(*_SUBJECTS, *_NAMES)],
}
_LARGEST = 999_999_999_999  # units
_GROUPED = re.compile(r"[1-9]\d{0,2}(\.\d{3})+")  # 10.000: ten, or ten thousand
Parameters = dict[str, list[str]]


def _met(kind: str, column: str, condition: str = "1 = 1") -> str:
    """Payments whose `column` names a listed party of a kind."""
    return f"""
        SELECT p.transaction_id, p.merchant_id, p.user_id, p.created_at, l.flag, l.flag AS rule, l.key AS subject, l.detail
        FROM transactions p JOIN listed_parties l ON l.key = p.{column} WHERE l.kind = '{kind}' AND {condition}"""  # noqa: S608 - what is inserted is named below


FLAG_STEPS = [
    (
        "listed_parties",
        """
        SELECT 'merchant' AS kind, merchant_id AS key, 'KYC_REQUIRED' AS flag, CAST(NULL AS STRING) AS currency, CAST(NULL AS BIGINT) AS limit_minor,
               concat('Merchant ', merchant_id, ' has KYC status ', kyc_status) AS detail
        FROM merchants WHERE :is_kyc_active AND kyc_status <> 'COMPLETE'
        UNION ALL
        SELECT 'merchant', m.merchant_id, 'REGIONAL_LIMIT', r.currency, r.limit_minor,
               concat('Merchant ', m.merchant_id, ' in ', r.country, ': single payment above ', r.limit_text, ', the limit of policy ', r.policy_id)
        FROM merchants m JOIN regional_limits r ON r.country = UPPER(TRIM(m.country))
        UNION ALL
        SELECT kind, key, 'BLACKLISTED', NULL, NULL, concat('Listed ', kind, ' ', key, ', policy ', policy_id) FROM blacklist
        UNION ALL
        SELECT kind, key, 'SANCTIONS_MATCH', NULL, NULL, detail FROM sanctioned
        """,
    ),
    (
        "flags",
        " UNION ALL ".join(
            [
                _met(
                    "merchant",
                    "merchant_id",
                    "(l.limit_minor IS NULL OR (l.currency = p.currency AND p.amount_minor > l.limit_minor))",
                ),
                _met("counterparty", "counterparty_id"),
                _met("user", "user_id"),
                _met("account", "source_account"),
                _met("account", "destination_account", "p.source_account <> l.key"),
                """
        SELECT p.transaction_id, p.merchant_id, p.user_id, p.created_at, 'AML_PENDING', h.rule, h.subject, h.detail
        FROM transactions p JOIN aml_hits h ON h.transaction_id = p.transaction_id""",
            ]
        ),
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
            name = key.strip().lower()
            read = (v.strip().upper() if name in _CODES else v.strip() for v in values.split(","))
            found.setdefault(name, []).extend(v for v in read if v)
    return found


def unreadable(text: str) -> bool:
    """Whether a figure among the parameters is no number, or can be read in two ways (`10,000`, `10.000`)."""
    given = read_parameters(text)
    return any(len(given[key]) > 1 or not _is_number(key, given[key][0]) for key in _FIGURES if given.get(key))


def _is_number(key: str, text: str) -> bool:
    try:
        return 0 <= float(text) <= (1 if key.endswith("_rate") else _LARGEST) and not _GROUPED.fullmatch(text)
    except ValueError:
        return False


def without_effect(policy_type: str, text: str) -> bool:
    """Whether a parameter means nothing to the type of policy, or one is missing without which it meets nobody."""
    read = read_parameters(text)
    given = {key for key, values in read.items() if values}
    is_status = read.get("required_status", ["COMPLETE"]) == ["COMPLETE"]  # the only one that can be required
    is_currency = currency_codes().issuperset(read.get("currency", []))
    is_unknown = not is_status or not is_currency or not given <= _KNOWN.get(policy_type, given)
    return is_unknown or any(given.isdisjoint(group) for group in _NEEDED.get(policy_type, []))


def active(policies: pd.DataFrame, kind: str) -> list[tuple[str, Parameters]]:
    """(policy id, parameters) of the active policies of one type."""
    rows = policies[policies["is_active"] & (policies["policy_type"] == kind)]
    return [(i, read_parameters(p)) for i, p in zip(rows["policy_id"], rows["parameters"], strict=True)]


def aml_limits(policies: pd.DataFrame, currencies: Sequence[str]) -> pd.DataFrame:
    """Per currency: threshold, the floor just under it, a large amount, the window and how many payments make a pattern.

    What a policy does not state is the default, in units of each currency; so are all where the input has no AML policy.
    With none active there is no row. Currencies that no policy names take the first that names none.
    """
    rules = sorted(_aml_rules(policies), key=lambda rule: "currency" not in rule[1])
    rows = [
        (policy, code, *_threshold(given, code), int(_figure(given, "window_days") * aml.DAY_US), int(_figure(given, "min_count")))
        for policy, given in rules
        for code in given.get("currency", currencies)
    ]  # fmt: skip
    columns = ["policy_id", "currency", "threshold_minor", "floor_minor", "large_minor", "window_us", "min_count"]
    return _typed(rows, columns, texts=2).drop_duplicates("currency")


def aml_figures(policies: pd.DataFrame) -> dict[str, float]:
    """The figures of the account patterns: each from the first active AML policy that states it, else its default."""
    rules = _aml_rules(policies)
    stated = {name: _figure(given, name) for name in aml.DEFAULTS for _, given in reversed(rules) if given.get(name)}
    return aml.DEFAULTS | stated


def day_offsets() -> pd.DataFrame:
    """The days after a transfer on which a circle may go on."""
    return pd.DataFrame({"day_offset": range(aml.LARGEST["cycle_days"] + 1)})


def _aml_rules(policies: pd.DataFrame) -> list[tuple[str, Parameters]]:
    has_any = (policies["policy_type"] == "AML").any()
    default = {name: [str(value)] for name, value in aml.DEFAULTS.items()}
    return active(policies, "AML") if has_any else [("default", default)]


def _figure(given: Parameters, name: str) -> float:
    """A stated figure or its default, no larger than the look-back allows and no count below two."""
    value = float(given[name][0]) if given.get(name) else aml.DEFAULTS[name]
    value = max(value, 2.0) if name.endswith("_count") else value
    return min(value, aml.LARGEST.get(name, value))


def regional_limits(policies: pd.DataFrame, currencies: Sequence[str]) -> pd.DataFrame:
    """Highest single payment per country of the merchant and currency."""
    rows = [
        (policy, country, code, f"{format_minor(_minor(limit, code), code)} {code}", _minor(limit, code))
        for policy, given in active(policies, "REGIONAL_LIMIT")
        for limit in _number(given, _LIMITS)
        for country in [c for name in _COUNTRIES for c in given.get(name, [])]
        for code in given.get("currency", currencies)
    ]
    return _typed(rows, ["policy_id", "country", "currency", "limit_text", "limit_minor"], texts=4)


def blacklist(policies: pd.DataFrame) -> pd.DataFrame:
    """Listed users, merchants, counterparties and accounts (kind, key), and names (kind `name`)."""
    rows = [
        (policy, "name" if key in _NAMES else _SUBJECTS[key], value)
        for policy, given in active(policies, "BLACKLIST")
        for key, values in given.items()
        if key in _NAMES or key in _SUBJECTS
        for value in values
    ]
    return _typed(rows, ["policy_id", "kind", "key"], texts=3).drop_duplicates(["kind", "key"])


def _threshold(given: Parameters, currency: str) -> tuple[int, int, int]:
    threshold = [*_number(given, ("threshold", "limit")), aml.DEFAULTS["threshold"]][0]
    margin = _figure(given, "margin_rate")
    return tuple(_minor(threshold * share, currency) for share in (1.0, 1 - margin, aml.LARGE_SHARE))  # type: ignore[return-value]


def _minor(units: float, currency: str) -> int:
    return round(units * 10.0 ** exponent(currency))


def _number(given: Parameters, keys: Iterable[str]) -> list[float]:
    return [float(given[key][0]) for key in keys if given.get(key)][:1]


def _typed(rows: Sequence[tuple[object, ...]], columns: list[str], texts: int) -> pd.DataFrame:
    types = {c: "str" if i < texts else "int64" for i, c in enumerate(columns)}
    return pd.DataFrame(rows, columns=columns).astype(types)
