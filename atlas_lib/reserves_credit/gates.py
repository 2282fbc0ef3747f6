"""Gates a payout must pass, and remarks on what the input does not tell.

A gate blocks on evidence: a limit exceeded, an invalid IBAN, KYC that is pending. Where an input as a
whole carries no such data (a workbook of contracts has no bank details and no KYC status), nothing can
be evidence, and blocking every payout would only teach people to ignore the status: the lack is a
*remark* and the payout stays Ready. As soon as the input gives the data for one merchant, a merchant
without it is blocked, because then it is missing and not merely unknown.

| code | blocks when |
|---|---|
| LIMIT_BREACH | exposure is above the limit (exposures.level) |
| NON_POSITIVE_PAYOUT | nothing is to be paid |
| IDENTITY_BREAK | receivable differs from payout + reserve + margin by more than line rounding explains |
| CONTRACT_MOVED | a contract was paid under another merchant, and no person has accepted the move (moves.py) |
| DUPLICATE_CONTRACT | a row with the same contract number was refused: which one counts must be decided |
| INVALID_IBAN | the IBAN fails its check digits, or is missing while others have one |
| KYC_INCOMPLETE | KYC is not COMPLETE, or is unknown while others have a status |
| SANCTIONS_MATCH | screening found the merchant's name |
| FRAUD_REVIEW | the share of its sales under review is above `review_share_rate` |
| RESERVE_SHORTFALL | refunds and chargebacks its rolling reserve could not pay exceed the payout |
| MERCHANT_BLOCKED | a person stopped its payouts, or a policy lists the merchant |
| STALE_INPUT | the newest record of the input is older than `stale_after_days` |

Remarks: NO_BANK_DETAILS, KYC_UNKNOWN, DEFAULT_LIMIT, LIMIT_NOT_CONVERTED.
"""

from __future__ import annotations

import pandas as pd

from atlas_lib.core.engine import Input, Steps, open_engine
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared

# Four amounts, each rounded to half a unit, and half a unit of tolerance on the row they come from.
_IDENTITY_TOLERANCE_MINOR = 2
_REVIEWED: Steps = (
    (
        "reviewed_sales",
        """
SELECT t.merchant_id,
       CAST(SUM(CASE WHEN t.type = 'SALE' THEN 1 ELSE 0 END) AS BIGINT) AS sale_count,
       CAST(SUM(CASE WHEN t.type = 'SALE' AND s.fraud_score >= :review_score THEN 1 ELSE 0 END) AS BIGINT) AS review_count,
       MAX(CAST(t.created_at AS DATE)) AS newest
FROM transactions t LEFT JOIN streaming_index s ON s.transaction_id = t.transaction_id
GROUP BY t.merchant_id
""",
    ),
)

Gate = tuple[str, pd.Series, pd.Series]


def review_sales(transactions: Input, streaming_index: Input, settings: ReservesCreditSettings) -> pd.DataFrame:
    """Sales, sales under review and newest day per merchant (columns merchant_id, sale_count, review_count, newest)."""
    engine = open_engine(settings.engine)
    inputs = {"transactions": transactions, "streaming_index": streaming_index}
    result = engine.run(_REVIEWED, inputs, ["reviewed_sales"], {"review_score": settings.review_score})
    return result["reviewed_sales"].sort_values("merchant_id", ignore_index=True)


def check_gates(
    summary: pd.DataFrame,
    contracts: pd.DataFrame,
    merchants: pd.DataFrame,
    exposures: pd.DataFrame,
    reviewed: pd.DataFrame,
    reserve_coverage: pd.DataFrame,
    rejects: pd.DataFrame,
    screening_findings: pd.DataFrame,
    settings: ReservesCreditSettings,
) -> pd.DataFrame:
    """Every failed gate and every remark, one row each: table payout_gates.

    `summary` has one row per merchant and currency with merchant_payout_minor, open_minor (what a payout
    would pay), is_stopped (by a person at the desk) and moved_count (contracts paid under another merchant).
    """
    facts = _facts(summary, merchants, exposures, reviewed, reserve_coverage)
    newest = _newest(contracts, reviewed)
    failed = [
        _limit_gate(facts),
        ("NON_POSITIVE_PAYOUT", facts["open_minor"] <= 0, _said(facts, "there is nothing to pay")),
        _named_gate(
            facts,
            "IDENTITY_BREAK",
            _broken_identities(contracts),
            "contract whose parts do not add up",
            "contracts whose parts do not add up",
        ),
        _moved_gate(facts),
        _named_gate(
            facts,
            "DUPLICATE_CONTRACT",
            _duplicates(contracts, rejects),
            "contract number given twice",
            "contract numbers given twice",
        ),
        _iban_gate(facts),
        _kyc_gate(facts),
        _sanctions_gate(facts, screening_findings),
        _fraud_gate(facts, settings),
        _shortfall_gate(facts),
        _blocked_gate(facts, screening_findings),
        _stale_gate(facts, newest, settings),
    ]
    remarks = [
        ("NO_BANK_DETAILS", ~_is_supplied(facts["iban"]), _said(facts, "the input has no IBAN; needed to request")),
        ("KYC_UNKNOWN", ~_is_supplied(facts["kyc"]), _said(facts, "the input has no KYC status")),
        ("DEFAULT_LIMIT", facts["limit_source"] == "default", _said(facts, "the input has no limit; default used")),
        ("LIMIT_NOT_CONVERTED", facts["limit_source"] == "no rate", _said(facts, "no FX rate for the limit")),
    ]
    return declared("payout_gates").checked(
        pd.concat([_rows(facts, failed, is_blocking=True), _rows(facts, remarks, is_blocking=False)], ignore_index=True)
    )


def judge_merchants(merchants: pd.DataFrame, screening_findings: pd.DataFrame) -> pd.Series:
    """The codes of the gates that need no contract, per row of the master data, joined by "; "; empty when none.

    Only what is given counts: whether something is missing depends on the other payouts, see `check_gates`.
    """
    kyc = merchants["kyc_status"].where(merchants["kyc_status"] != "UNKNOWN")
    facts = merchants.assign(kyc=kyc, is_stopped=False)
    always = pd.Series(True, index=facts.index)
    gates = [
        (_iban_gate(facts), facts["iban"].notna()),
        (_kyc_gate(facts), facts["kyc"].notna()),
        (_blocked_gate(facts, screening_findings), always),
        (_sanctions_gate(facts, screening_findings), always),
    ]
    reasons = pd.Series("", index=facts.index, dtype="str")
    for (code, is_hit, _), is_given in gates:
        reasons = reasons.mask(is_hit & is_given, reasons + "; " + code)
    return reasons.str.strip("; ")


def check_contracts(contracts: pd.DataFrame, merchants: pd.DataFrame) -> pd.DataFrame:
    """What must hold before anything is computed; columns check, passed, is_blocking, detail.

    A contract whose parts do not add up is no reason to stop the run: its merchant's payout is blocked.
    """
    broken = int(_broken_identities(contracts).sum())
    price = contracts["purchase_price_minor"]
    priced = int(((price - contracts["merchant_payout_minor"] - contracts["merchant_reserve_minor"]).abs() > 1).sum())
    unknown = int((~contracts["merchant_id"].isin(merchants["merchant_id"])).sum())
    rows = [
        ("Every contract belongs to a merchant", unknown, True),
        ("Receivable = payout + reserve + margin", broken, False),
        ("Purchase price = payout + reserve", priced, False),
    ]
    return pd.DataFrame(
        [
            {
                "check": c,
                "passed": n == 0,
                "is_blocking": b,
                "detail": f"{n} of {len(contracts)} contracts {'breaks' if n == 1 else 'break'} it",
            }
            for c, n, b in rows
        ]
    )


def count_codes(gates: pd.DataFrame) -> pd.DataFrame:
    """Failed gates and remarks by code: how many payouts, the first merchants, what was seen at the first."""
    ranked = gates.sort_values(["is_blocking", "code", "merchant_id", "currency"], ascending=[False, True, True, True])
    grouped = ranked.groupby(["is_blocking", "code"], sort=False)
    first = ranked[grouped.cumcount() < 3].groupby(["is_blocking", "code"], sort=False)["merchant_id"].agg(", ".join)
    counts = grouped.agg(payouts_count=("merchant_id", "size"), detail=("detail", "first"))
    counted = counts.assign(first_merchants=first).reset_index()
    return counted[["code", "is_blocking", "payouts_count", "first_merchants", "detail"]]


def joined_codes(gates: pd.DataFrame, keys: pd.DataFrame, *, is_blocking: bool) -> pd.Series:
    """The codes of each merchant and currency of `keys`, joined by "; "; empty when none."""
    kept = gates[gates["is_blocking"] == is_blocking].sort_values("code")
    codes = kept.groupby(["merchant_id", "currency"])["code"].agg("; ".join).rename("codes")
    return keys.join(codes, on=["merchant_id", "currency"], validate="many_to_one")["codes"].fillna("").astype("str")


def _facts(
    summary: pd.DataFrame,
    merchants: pd.DataFrame,
    exposures: pd.DataFrame,
    reviewed: pd.DataFrame,
    reserve_coverage: pd.DataFrame,
) -> pd.DataFrame:
    """All a gate looks at, one row per merchant and currency."""
    limits = exposures[exposures["scope"] == "merchant"].rename(columns={"subject_id": "merchant_id"})
    known = merchants[["merchant_id", "iban", "kyc_status", "is_blocked"]]
    keys = ["merchant_id", "currency"]
    facts = (
        summary[[*keys, "merchant_payout_minor", "open_minor", "is_stopped", "moved_count"]]
        .merge(known, on="merchant_id", how="left", validate="many_to_one")
        .merge(limits[[*keys, "level", "combined_rate", "limit_source"]], on=keys, how="left", validate="one_to_one")
        .merge(reviewed, on="merchant_id", how="left", validate="many_to_one")
        .merge(reserve_coverage[[*keys, "shortfall_minor"]], on=keys, how="left", validate="one_to_one")
    )
    return facts.assign(kyc=facts["kyc_status"].where(facts["kyc_status"] != "UNKNOWN"))


def _limit_gate(facts: pd.DataFrame) -> Gate:
    used = (facts["combined_rate"] * 100).map("{:,.2f} % of the limit used".format)
    return "LIMIT_BREACH", facts["level"] == "breach", used.where(facts["combined_rate"].notna(), "the limit is 0")


def _moved_gate(facts: pd.DataFrame) -> Gate:
    count = facts["moved_count"].astype("int64")
    said = _counted(count, "contract was", "contracts were") + " paid under another merchant"
    return "CONTRACT_MOVED", count > 0, said


def _iban_gate(facts: pd.DataFrame) -> Gate:
    """Check digits, length and bank code structure of ISO 13616, by schwifty."""
    from schwifty import IBAN

    given = facts["iban"].dropna().unique()
    valid = {text: IBAN(text, allow_invalid=True).is_valid for text in given}
    is_wrong = facts["iban"].map(valid).eq(False)
    is_missing = facts["iban"].isna() & _is_supplied(facts["iban"])
    return "INVALID_IBAN", is_wrong | is_missing, _said(facts, "fails its check digits").where(is_wrong, "is missing")


def _kyc_gate(facts: pd.DataFrame) -> Gate:
    is_open = _is_supplied(facts["kyc"]) & (facts["kyc"] != "COMPLETE")
    return "KYC_INCOMPLETE", is_open, "KYC is " + facts["kyc"].fillna("unknown").str.lower()


def _sanctions_gate(facts: pd.DataFrame, screening_findings: pd.DataFrame) -> Gate:
    matches = _found(screening_findings, "SANCTION")
    return _named_gate(facts, "SANCTIONS_MATCH", matches, "match on a sanctions list", "matches on a sanctions list")


def _fraud_gate(facts: pd.DataFrame, settings: ReservesCreditSettings) -> Gate:
    sales, review = facts["sale_count"].fillna(0).astype("int64"), facts["review_count"].fillna(0).astype("int64")
    detail = review.astype("str") + " of " + _counted(sales, "sale", "sales") + " under review"
    return "FRAUD_REVIEW", (sales > 0) & (review > sales * settings.review_share_rate), detail


def _shortfall_gate(facts: pd.DataFrame) -> Gate:
    is_short = facts["shortfall_minor"].fillna(0) > facts["merchant_payout_minor"].clip(lower=0)
    return "RESERVE_SHORTFALL", is_short, _said(facts, "claims its reserve could not pay exceed the payout")


def _blocked_gate(facts: pd.DataFrame, screening_findings: pd.DataFrame) -> Gate:
    by_person = facts["is_blocked"].fillna(False).astype(bool) | facts["is_stopped"].astype(bool)
    is_listed = facts["merchant_id"].isin(_found(screening_findings, "BLACKLIST").index)
    return (
        "MERCHANT_BLOCKED",
        by_person | is_listed,
        _said(facts, "stopped by a person").where(by_person, "on a blacklist"),
    )


def _stale_gate(facts: pd.DataFrame, newest: pd.Timestamp | None, settings: ReservesCreditSettings) -> Gate:
    age = (pd.Timestamp(settings.as_of) - newest).days if newest is not None else 0
    is_stale = pd.Series(age > settings.stale_after_days, index=facts.index)
    return "STALE_INPUT", is_stale, _said(facts, f"the newest record is {age} day{'' if age == 1 else 's'} old")


def _named_gate(facts: pd.DataFrame, code: str, counts: pd.Series, one: str, many: str) -> Gate:
    """A gate failed by the merchants in `counts` (faults per merchant)."""
    count = facts["merchant_id"].map(counts).fillna(0).astype("int64")
    return code, count > 0, _counted(count, one, many)


def _counted(count: pd.Series, one: str, many: str) -> pd.Series:
    words = pd.Series(many, index=count.index, dtype="str").where(count != 1, one)
    return count.map("{:,}".format).astype("str") + " " + words


def _broken_identities(contracts: pd.DataFrame) -> pd.Series:
    parts = contracts["merchant_payout_minor"] + contracts["merchant_reserve_minor"] + contracts["partner_margin_minor"]
    broken = (contracts["receivable_minor"] - parts).abs() > _IDENTITY_TOLERANCE_MINOR
    return contracts[broken].groupby("merchant_id").size()


def _duplicates(contracts: pd.DataFrame, rejects: pd.DataFrame) -> pd.Series:
    refused = rejects[(rejects["table"] == "contracts") & (rejects["column"] == "contract_id")]
    return contracts[contracts["contract_id"].isin(refused["value"])].groupby("merchant_id").size()


def _found(screening_findings: pd.DataFrame, rule: str) -> pd.Series:
    """Findings about merchants whose rule contains the word, per merchant."""
    hits = screening_findings[screening_findings["rule"].str.upper().str.contains(rule)]
    return hits.dropna(subset=["merchant_id"]).groupby("merchant_id").size()


def _newest(contracts: pd.DataFrame, reviewed: pd.DataFrame) -> pd.Timestamp | None:
    days = pd.concat([contracts["start_date"], reviewed["newest"].astype("datetime64[us]")], ignore_index=True)
    return None if days.empty else pd.Timestamp(days.max())


def _is_supplied(values: pd.Series) -> pd.Series:
    """True for every row when the input gives the value for at least one."""
    return pd.Series(bool(values.notna().any()), index=values.index)


def _said(facts: pd.DataFrame, words: str) -> pd.Series:
    return pd.Series(words, index=facts.index, dtype="str")


def _rows(facts: pd.DataFrame, gates: list[Gate], *, is_blocking: bool) -> pd.DataFrame:
    hit = [
        facts[mask][["merchant_id", "currency"]].assign(code=code, detail=detail[mask]) for code, mask, detail in gates
    ]
    return pd.concat(hit, ignore_index=True).assign(is_blocking=is_blocking)
