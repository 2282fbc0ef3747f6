"""The days of sales that the rolling reserve is computed from: those of the input and those the ledger has counted.

An input may hold the whole history or only what is new. Per merchant, currency and UTC day:

    only in the ledger                                        as it was counted
    only in the input                                         as it is given
    in both, and the input repeats all that was counted       as it is given: a correction, or more of the day
    in both, and the input lacks something that was counted   as it was counted, and what is new is added

So a transaction counts until an input that holds its whole day says otherwise, and a history that comes day by day ends
in the same reserve as one that comes at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from atlas_lib.core.engine import Input, Steps, open_engine
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.counted_days import (
    ACCOUNT,
    CLAIMS,
    DAY,
    NAME_LENGTH,
    SUMS,
    TERMS,
    read_days,
    read_names,
    reserve_accounts,
)
from atlas_lib.reserves_credit.purchases import day_end

_IS_SETTLED = "(status = 'APPROVED' OR (type = 'SALE' AND status = 'REFUNDED'))"
_COUNTED = "utc_day(created_at) <= CAST(:as_of AS DATE) AND type IN ('SALE', 'FEE', 'REFUND', 'CHARGEBACK')"
_SETTLED = f"{_IS_SETTLED} AND {_COUNTED}"
DAILY: Steps = (
    (
        "given_days",
        f"""
SELECT merchant_id, currency, utc_day(created_at) AS day,
       CAST(SUM(CASE WHEN type = 'SALE' AND {_IS_SETTLED} THEN amount_minor ELSE 0 END) AS BIGINT) AS sales_minor,
       CAST(SUM(CASE WHEN type = 'FEE' AND {_IS_SETTLED} THEN amount_minor ELSE 0 END) AS BIGINT) AS fees_minor,
       COUNT(*) AS row_count, CAST(SUM(CAST(key_number(transaction_id, type) % 1000000007 AS BIGINT)) AS BIGINT) AS row_mark
FROM transactions
WHERE {_COUNTED}
GROUP BY merchant_id, currency, utc_day(created_at)
""",  # noqa: S608
    ),
    (
        "claims",
        f"""
SELECT merchant_id, currency, utc_day(created_at) AS day,
       regexp_replace(coalesce(reference, ''), '-[A-Z]$', '') AS named, amount_minor,
       CASE WHEN type = 'CHARGEBACK' THEN amount_minor ELSE 0 END AS chargeback_minor
FROM transactions
WHERE {_SETTLED} AND type IN ('REFUND', 'CHARGEBACK')
""",  # noqa: S608
    ),
    ("named", "SELECT DISTINCT merchant_id, currency, named FROM claims WHERE named <> ''"),
    (
        "sold",
        f"""
SELECT merchant_id, currency, named, MIN(day) AS day FROM (
  SELECT t.merchant_id, t.currency, n.named, utc_day(t.created_at) AS day
  FROM transactions t JOIN named n
    ON n.named = t.transaction_id AND n.merchant_id = t.merchant_id AND n.currency = t.currency
  WHERE {_SETTLED} AND type = 'SALE'
  UNION ALL
  SELECT t.merchant_id, t.currency, n.named, utc_day(t.created_at) AS day
  FROM transactions t JOIN named n ON n.named = t.reference AND n.merchant_id = t.merchant_id AND n.currency = t.currency
  WHERE {_SETTLED} AND type = 'SALE' AND t.reference <> t.transaction_id) AS sale
GROUP BY merchant_id, currency, named
""",  # noqa: S608
    ),
    (
        "given_claims",
        f"""
SELECT c.merchant_id, c.currency, c.day, s.day AS own_day,
       CASE WHEN s.day IS NULL AND c.named <> '' THEN substr(md5(c.named), 1, {NAME_LENGTH - 1}) ELSE '' END AS about,
       CAST(SUM(c.amount_minor) AS BIGINT) AS claims_minor,
       CAST(SUM(c.chargeback_minor) AS BIGINT) AS chargebacks_minor
FROM claims c LEFT JOIN sold s
  ON s.merchant_id = c.merchant_id AND s.currency = c.currency AND s.named = c.named AND s.day <= c.day
GROUP BY c.merchant_id, c.currency, c.day, s.day,
       CASE WHEN s.day IS NULL AND c.named <> '' THEN substr(md5(c.named), 1, {NAME_LENGTH - 1}) ELSE '' END
""",  # noqa: S608
    ),
)
_NEW_ONLY: Steps = (
    (
        "transactions",
        f"""
SELECT t.* FROM submitted t LEFT JOIN known k
  ON k.merchant_id = t.merchant_id AND k.currency = t.currency AND k.day = utc_day(t.created_at)
  AND k.name = substr(md5(t.transaction_id), 1, {NAME_LENGTH - 1})
WHERE k.name IS NULL
""",  # noqa: S608
    ),
)
_NAMES: Steps = (
    (
        "on_days",
        f"""
SELECT t.merchant_id, t.currency, d.day, t.transaction_id, t.reference, t.type = 'SALE' AND {_IS_SETTLED} AS is_sale
FROM transactions t JOIN days d
  ON d.merchant_id = t.merchant_id AND d.currency = t.currency AND d.day = utc_day(t.created_at)
WHERE {_COUNTED}
""",  # noqa: S608
    ),
    (
        "names",
        f"""
SELECT merchant_id, currency, day,
       concat(CASE WHEN is_sale THEN 's' ELSE '-' END, substr(md5(transaction_id), 1, {NAME_LENGTH - 1})) AS name
FROM on_days
UNION ALL
SELECT merchant_id, currency, day, concat('r', substr(md5(reference), 1, {NAME_LENGTH - 1})) AS name
FROM on_days WHERE is_sale AND reference IS NOT NULL AND reference <> transaction_id
""",  # noqa: S608
    ),
)


@dataclass(frozen=True)
class SalesDays:
    """What the reserve is computed from.

    days: DAY, SUMS, source (input, ledger, both), and TERMS where the ledger's count stands;
    claims: DAY, own_day (of the sale it is about, may be empty), CLAIMS;
    counted, counted_claims: what the ledger held before, in the same columns.
    """

    days: pd.DataFrame
    claims: pd.DataFrame
    counted: pd.DataFrame
    counted_claims: pd.DataFrame


def give_days(transactions: Input, settings: ReservesCreditSettings) -> SalesDays:
    """The days of the input alone.

    A claim belongs to a sale of the same merchant whose transaction id or reference it names, with or without one
    letter behind a hyphen (`AS1-R`): `own_day` is that sale's day. Claims carry `about`, the name of a sale not found.
    """
    days, claims = _given((), {"transactions": transactions}, settings)
    return SalesDays(days.assign(source="input"), claims, days.head(0), claims.head(0))


def count_days(
    given: SalesDays, transactions: Input, ledger: Ledger | None, settings: ReservesCreditSettings
) -> SalesDays:
    """The days of the input (as give_days has them) together with those the ledger has counted up to the as-of day."""
    if ledger is None:
        return SalesDays(given.days, _summed_claims(given.claims), given.counted, given.counted_claims)
    end = day_end(settings)
    accounts = pd.concat([given.days[ACCOUNT], reserve_accounts(ledger)]).drop_duplicates(ignore_index=True)
    counted, counted_claims = read_days(accounts, ledger, end)
    lacking, known = _incomplete(given, counted, transactions, ledger, settings)
    days, claims = given.days, given.claims
    if len(lacking):
        days, claims = _given(_NEW_ONLY, {"submitted": transactions, "known": known}, settings)
        days = days.assign(source="input")
    claims = _find_sales(claims, ledger, end)
    kept = counted[is_on(counted, lacking) | ~is_on(counted, days)].assign(source="ledger")
    merged = pd.concat([days, kept], ignore_index=True)
    is_split = merged.duplicated(DAY, keep=False)
    split = merged[is_split].groupby(DAY, sort=True).agg(dict.fromkeys(SUMS, "sum") | dict.fromkeys(TERMS, "last"))
    both = pd.concat([merged[~is_split], split.reset_index().assign(source="both")], ignore_index=True)
    standing = counted_claims[is_on(counted_claims, kept)]
    return SalesDays(
        both.sort_values(DAY, ignore_index=True), _summed_claims(pd.concat([claims, standing])), counted, counted_claims
    )


def name_days(days: pd.DataFrame, transactions: Input, settings: ReservesCreditSettings) -> pd.DataFrame:
    """Names of the input's transactions on these days: DAY, name (see counted_days)."""
    inputs = {"transactions": transactions, "days": days[DAY]}
    return open_engine(settings.engine).run(_NAMES, inputs, ["names"], _as_of(settings))["names"]


def changed_days(days: SalesDays, columns: list[str]) -> pd.DataFrame:
    """The days that the ledger has not counted with these figures."""
    both = days.days.merge(days.counted[[*DAY, *columns]], on=DAY, how="left", suffixes=("", "_then"), validate="1:1")
    is_same = pd.concat([both[c].eq(both[f"{c}_then"]) for c in columns], axis=1).all(axis=1)
    return both[~is_same][days.days.columns]


def _incomplete(
    given: SalesDays, counted: pd.DataFrame, transactions: Input, ledger: Ledger, settings: ReservesCreditSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Days of which the input lacks transactions that were counted, and the ids that were counted on them."""
    both = given.days.merge(counted[[*DAY, "row_count", "row_mark"]], on=DAY, suffixes=("", "_then"), validate="1:1")
    unlike = both[(both["row_count"] != both["row_count_then"]) | (both["row_mark"] != both["row_mark_then"])][DAY]
    if unlike.empty:
        return unlike, unlike.assign(name="")
    held = read_names(unlike[ACCOUNT].drop_duplicates(), ledger, day_end(settings))
    held = _ids(held[is_on(held, unlike)])
    here = _ids(name_days(unlike, transactions, settings))
    missing = held.merge(here, on=[*DAY, "name"], how="left", indicator=True)
    lacking = missing.loc[missing["_merge"] == "left_only", DAY].drop_duplicates(ignore_index=True)
    return lacking, held[is_on(held, lacking)].reset_index(drop=True)


def _ids(names: pd.DataFrame) -> pd.DataFrame:
    """Names of transactions (not references) without their letter."""
    own = names[~names["name"].str.startswith("r")]
    return own.assign(name=own["name"].str[1:], day=own["day"].astype("datetime64[us]")).drop_duplicates()


def _find_sales(claims: pd.DataFrame, ledger: Ledger, end: pd.Timestamp) -> pd.DataFrame:
    """The claims with the own_day of sales that are not in the input but were counted."""
    is_open = claims["about"] != ""
    if not is_open.any():
        return claims
    names = read_names(claims.loc[is_open, ACCOUNT].drop_duplicates(), ledger, end)
    sold = names[names["name"].str[0] != "-"].assign(about=names["name"].str[1:])
    first = sold.groupby([*ACCOUNT, "about"])["day"].min().rename("sold_on")
    found = claims.join(first, on=[*ACCOUNT, "about"], validate="many_to_one")
    sold_on = found["sold_on"].where(found["sold_on"] <= found["day"])
    return claims.assign(own_day=claims["own_day"].fillna(sold_on))


def _given(
    before: Steps, inputs: dict[str, Input], settings: ReservesCreditSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    made = open_engine(settings.engine).run((*before, *DAILY), inputs, ["given_days", "given_claims"], _as_of(settings))
    days, claims = made["given_days"], made["given_claims"]
    typed = claims.assign(**{c: claims[c].astype("datetime64[us]") for c in ("day", "own_day")})
    return days.assign(day=days["day"].astype("datetime64[us]")).sort_values(DAY, ignore_index=True), typed


def _summed_claims(claims: pd.DataFrame) -> pd.DataFrame:
    return claims.groupby([*DAY, "own_day"], dropna=False, sort=True)[CLAIMS].sum().reset_index()


def is_on(rows: pd.DataFrame, days: pd.DataFrame) -> pd.Series:
    """Whether each row is of one of these account days."""
    is_there = pd.MultiIndex.from_frame(rows[DAY]).isin(pd.MultiIndex.from_frame(days[DAY]))
    return pd.Series(is_there, index=rows.index, dtype="bool")


def _as_of(settings: ReservesCreditSettings) -> dict[str, str]:
    return {"as_of": settings.as_of.isoformat()}
