"""Planted cases: what is wrong on purpose, and the truth about it."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from atlas_lib.core.calendars import add_business_days
from atlas_lib.example_data.names import numbered
from atlas_lib.example_data.parties import Parties
from atlas_lib.example_data.payments import draw_sales, in_minor

NOT_PROVIDED = "NOTPROVIDED"  # what ISO 20022 puts where no end-to-end id was given
SECONDS_PER_DAY = 86_400

# case: (least count, share of the rows, break type expected from 05_reconciliation)
BANK_CASES = {
    "currency_mismatch": (3, 0.0005, "CURRENCY_MISMATCH"),
    "split_payment": (3, 0.002, ""),
    "split_incomplete": (2, 0.0005, "SPLIT_INCOMPLETE"),
    "lost_end_to_end_id": (8, 0.004, ""),
    "missing_bank_line": (6, 0.003, "MISSING_AT_BANK"),
    "duplicate_bank_line": (4, 0.002, "DUPLICATE"),
    "amount_mismatch": (5, 0.003, "AMOUNT_MISMATCH"),
    "fee_variance": (5, 0.004, "FEE_VARIANCE"),
    "late_posting": (5, 0.003, "LATE_POSTING"),
    "wrong_sign": (3, 0.0005, "WRONG_SIGN"),
}
PAYMENT_CASES = {"fraud_burst": 2, "structuring": 1, "merged_payout": 3}  # groups at the small size


def case_count(case: str, rows: int) -> int:
    least, share, _ = BANK_CASES[case]
    return max(least, round(rows * share))


def group_count(case: str, rows: int) -> int:
    return max(PAYMENT_CASES[case], rows // 2000)


def plant_payments(rows: int, parties: Parties, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """Payments that only exist as a case: fraud bursts, structuring, several payouts of one day."""
    pieces = [
        *(_burst(parties, as_of, i, rng) for i in range(group_count("fraud_burst", rows))),
        *(_structuring(parties, as_of, i, rng) for i in range(group_count("structuring", rows))),
        *(_same_day_payouts(parties, as_of, i, rng) for i in range(group_count("merged_payout", rows))),
    ]
    return pd.concat(pieces, ignore_index=True)


def plant_bank(
    payments: pd.DataFrame, lines: pd.DataFrame, rows: int, as_of: date, rng: np.random.Generator
) -> pd.DataFrame:
    """The bank's lines with the planted breaks in them; `case` names the break, `pair` is the truth (-1: none)."""
    lines = lines.assign(pair=lines["payment"])
    chosen = _choose(payments, lines, rows, as_of, rng)
    lines = _change(lines, chosen, rng)
    drop = np.concatenate([chosen["missing_bank_line"], _merged(payments, lines)])
    pieces = [
        lines[~lines.index.isin(drop)],
        _booked_again(lines.loc[chosen["duplicate_bank_line"]]),
        _other_halves(lines, chosen["split_payment"]),
        _merge(payments, lines),
        _orphans(lines, max(4, rows // 500), rng),
    ]
    return pd.concat(pieces, ignore_index=True)


def _burst(parties: Parties, as_of: date, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """One user, 8 to 12 high sales at one merchant within half an hour at three in the morning."""
    count = int(rng.integers(8, 13))
    start = _night(as_of, int(rng.integers(8, 80)), 3)
    frame = draw_sales(count, parties, as_of, rng)
    merchant = int(rng.integers(0, 4))
    currency = np.repeat(parties.merchant_currency[merchant], count)
    return frame.assign(
        user=int(rng.integers(0, len(parties.user_ids))),
        merchant=merchant,
        counterparty=parties.merchant_counterparty[merchant],
        currency=currency,
        destination=currency,
        amount_minor=in_minor(rng.uniform(480, 890, count), currency),
        status="APPROVED",
        created_at=start + np.sort(rng.integers(0, 1800, count)),
        case=f"fraud_burst:{number}",
    )


def _structuring(parties: Parties, as_of: date, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """One user, five purchases just under 10,000 EUR within a week."""
    start = _night(as_of, int(rng.integers(12, 70)), 9)
    frame = draw_sales(5, parties, as_of, rng)
    days = np.sort(rng.choice(6, 5, replace=False)) * SECONDS_PER_DAY
    return frame.assign(
        user=int(rng.integers(0, len(parties.user_ids))),
        merchant=0,
        counterparty=parties.merchant_counterparty[0],
        currency=0,
        destination=0,
        amount_minor=100 * rng.integers(9_350, 9_990, 5),
        status="APPROVED",
        window="T1",
        created_at=start + days + rng.integers(0, 8 * 3600, 5),
        case=f"structuring:{number}",
    )


def _same_day_payouts(parties: Parties, as_of: date, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """Three payouts to one merchant on one morning, which the bank books as one line."""
    day = np.busday_offset(np.datetime64(as_of, "D"), -int(rng.integers(9, 50)), roll="backward")
    frame = draw_sales(3, parties, as_of, rng)
    merchant = int(rng.choice(np.flatnonzero(parties.merchant_currency == number % 2)))
    currency = np.repeat(parties.merchant_currency[merchant], 3)
    return frame.assign(
        type="PAYOUT",
        user=-1,
        merchant=merchant,
        counterparty=parties.merchant_counterparty[merchant],
        currency=currency,
        destination=currency,
        amount_minor=in_minor(rng.uniform(1500, 6500, 3), currency),
        status="APPROVED",
        window="T0",
        created_at=day.astype("datetime64[s]") + 9 * 3600 + np.array([0, 95, 240]) + 60 * number % 3600,
        case=f"merged_payout:{number}",
    )


def _night(as_of: date, days_ago: int, hour: int) -> np.datetime64:
    return np.datetime64(as_of, "s") - days_ago * SECONDS_PER_DAY + hour * 3600


def _choose(
    payments: pd.DataFrame, lines: pd.DataFrame, rows: int, as_of: date, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Different lines for every case, old enough that nothing is still in grace."""
    of_line = payments.iloc[lines["payment"].to_numpy()].reset_index(drop=True)
    created = of_line["created_at"].to_numpy().astype("datetime64[D]")
    old = created < np.datetime64(as_of, "D") - 14
    free = old & (of_line["case"] == "").to_numpy() & (of_line["type"] == "SALE").to_numpy()
    same_amount = lines.groupby(["account", "amount_posted_minor", "is_credit"])["payment"].transform("size").to_numpy()
    special = {
        "currency_mismatch": lines["account"].to_numpy() == 1,
        "split_payment": lines["amount_posted_minor"].to_numpy() > 2000,
        "split_incomplete": lines["amount_posted_minor"].to_numpy() > 2000,
        "lost_end_to_end_id": same_amount == 1,
        "late_posting": (lines["account"].to_numpy() == 0) & (lines["booking_date"].to_numpy() == created),
    }
    chosen = {}
    for case in BANK_CASES:
        eligible = np.flatnonzero(free & special.get(case, True))
        chosen[case] = rng.permutation(eligible)[: case_count(case, rows)]
        free[chosen[case]] = False
    return chosen


def _change(lines: pd.DataFrame, chosen: dict[str, np.ndarray], rng: np.random.Generator) -> pd.DataFrame:
    """The chosen lines with what their case changes in them; `whole_minor` keeps the payment's amount."""
    amount = lines["amount_posted_minor"].to_numpy()
    posted, fee, case = amount.copy(), np.zeros(len(lines), dtype=np.int64), lines["case"].to_numpy(dtype=object).copy()
    for name, rows in chosen.items():
        case[rows] = "" if name == "duplicate_bank_line" else name
    off = chosen["amount_mismatch"]
    posted[off] += rng.choice([-1, 1], len(off)) * rng.integers(45, 400, len(off))
    charged = chosen["fee_variance"]
    fee[charged] = np.maximum(amount[charged] * 14 // 1000, 1)
    posted[charged] -= fee[charged]
    parted = np.concatenate([chosen["split_payment"], chosen["split_incomplete"]])
    posted[parted] = amount[parted] * 3 // 5
    booking, late = lines["booking_date"].to_numpy().copy(), chosen["late_posting"]
    booking[late] = add_business_days(booking[late], 5)
    is_credit, account = lines["is_credit"].to_numpy().copy(), lines["account"].to_numpy().copy()
    is_credit[chosen["wrong_sign"]] = False
    account[chosen["currency_mismatch"]] = 0
    lost = np.isin(np.arange(len(lines)), chosen["lost_end_to_end_id"])
    return lines.assign(
        whole_minor=amount,
        amount_posted_minor=posted,
        fee_charged_minor=fee,
        booking_date=booking,
        is_credit=is_credit,
        account=account,
        end_to_end_id=lines["end_to_end_id"].where(~lost, NOT_PROVIDED),
        case=case,
    )


def _other_halves(lines: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """The second line of a split payment: what the first one left."""
    first = lines.loc[rows]
    return first.assign(amount_posted_minor=first["whole_minor"] - first["amount_posted_minor"])


def _booked_again(lines: pd.DataFrame) -> pd.DataFrame:
    """The same entry once more on the next business day."""
    again = add_business_days(lines["booking_date"].to_numpy(), 1)
    return lines.assign(pair=-1, case="duplicate_bank_line", booking_date=again)


def _merged(payments: pd.DataFrame, lines: pd.DataFrame) -> np.ndarray:
    case = payments["case"].to_numpy(dtype=object)[lines["payment"]].astype("str")
    return np.flatnonzero(np.char.startswith(case, "merged_payout"))


def _merge(payments: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """One line per group of payouts; in every other group the bank lists the references."""
    rows = _merged(payments, lines)
    frame = lines.loc[rows].assign(case=payments["case"].to_numpy(dtype=object)[lines.loc[rows, "payment"]])
    groups = frame.groupby("case", sort=True)
    line = groups.first().reset_index()
    listed = line["case"].str.rpartition(":")[2].astype(int).to_numpy() % 2 == 0
    references = groups["end_to_end_id"].agg(" ".join).to_numpy(dtype=object)
    return line.assign(
        payment=-1,
        pair=-1,
        amount_posted_minor=groups["amount_posted_minor"].sum().to_numpy(),
        booking_date=groups["booking_date"].max().to_numpy(),
        end_to_end_id=NOT_PROVIDED,
        remittance_text="Sammelauszahlung 3 Posten" + np.where(listed, " " + references, ""),
    )


def _orphans(lines: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Credits that we know nothing about."""
    credit = np.flatnonzero(lines["is_credit"].to_numpy() & (lines["case"] == "").to_numpy())
    frame = lines.loc[rng.permutation(credit)[:count]]
    return frame.assign(
        payment=-1,
        pair=-1,
        amount_posted_minor=frame["amount_posted_minor"] + 10 * rng.integers(1, 900, len(frame)),
        end_to_end_id=numbered("EXT", 8_000_000 + 13 * np.arange(len(frame)), 7).to_numpy(dtype=object),
        remittance_text="Gutschrift ohne Avis",
        case="bank_line_without_transaction",
    )
