"""Planted breaks between our transactions and the bank's lines."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from atlas_lib.core.calendars import add_business_days
from atlas_lib.core.money import scale_of
from atlas_lib.example_data.names import numbered
from atlas_lib.example_data.parties import CURRENCIES

NOT_PROVIDED = "NOTPROVIDED"  # what ISO 20022 puts where no end-to-end id was given
_GRACE_DAYS = 14

# case: (least count, share of the rows, break type expected from 05_reconciliation; none: it is a match)
BANK_CASES = {
    "currency_mismatch": (3, 0.0005, "CURRENCY_MISMATCH"),
    "fx_difference": (3, 0.0005, "FX_DIFFERENCE"),
    "booked_in_destination": (4, 0.001, ""),
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
BANK_ONLY_CASES = {
    "bank_line_without_transaction": (4, 0.002, "MISSING_IN_LEDGER"),
    "orphan_refund": (2, 0.0005, "ORPHAN_REFUND"),
}


def case_count(case: str, rows: int) -> int:
    least, share, _ = (BANK_CASES | BANK_ONLY_CASES)[case]
    return max(least, round(rows * share))


def plant_breaks(
    payments: pd.DataFrame,
    lines: pd.DataFrame,
    fx_rates: pd.DataFrame,
    rows: int,
    as_of: date,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The bank's lines with the breaks in them; `case` names the break, `pair` is the payment truly meant (-1: none)."""
    lines = lines.assign(pair=lines["payment"], whole_minor=lines["amount_posted_minor"])
    chosen = _choose(payments, lines, rows, as_of, rng)
    changed = _change(lines, chosen, rng)
    changed = _in_destination_currency(changed, payments, fx_rates)
    merged = _merged_rows(payments, lines)
    gone = np.isin(np.arange(len(lines)), np.concatenate([chosen["missing_bank_line"], merged]))
    strangers = {case: case_count(case, rows) for case in BANK_ONLY_CASES}
    pieces = [
        changed[~gone],
        _booked_again(lines.iloc[chosen["duplicate_bank_line"]]),
        _other_parts(changed.iloc[chosen["split_payment"]]),
        _merge(payments, lines.iloc[merged]),
        _unknown_lines(lines, "bank_line_without_transaction", strangers, rng),
        _unknown_lines(lines, "orphan_refund", strangers, rng),
    ]
    return pd.concat(pieces, ignore_index=True)


def _choose(
    payments: pd.DataFrame, lines: pd.DataFrame, rows: int, as_of: date, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Different lines for every case: of plain sales, and old enough that nothing is still in grace."""
    of_line = payments.iloc[lines["payment"].to_numpy()]
    created = of_line["created_at"].to_numpy().astype("datetime64[D]")
    free = (created < np.datetime64(as_of, "D") - _GRACE_DAYS) & (of_line["case"] == "").to_numpy()
    free &= (of_line["type"] == "SALE").to_numpy()
    is_foreign = (of_line["destination"] != of_line["currency"]).to_numpy()
    account, amount = lines["account"].to_numpy(), lines["amount_posted_minor"].to_numpy()
    large = (amount > 3000) & ~is_foreign
    alike = lines.groupby(["account", "amount_posted_minor", "is_credit"])["payment"].transform("size").to_numpy()
    special = {
        "currency_mismatch": (account == CURRENCIES.index("USD")) & ~is_foreign,
        "fx_difference": is_foreign,
        "booked_in_destination": is_foreign,
        "lost_end_to_end_id": (alike == 1) & ~is_foreign,
        "late_posting": (account == 0) & (lines["booking_date"].to_numpy() == created) & ~is_foreign,
    }
    chosen = {}
    for case in BANK_CASES:
        eligible = np.flatnonzero(free & special.get(case, large))
        chosen[case] = rng.permutation(eligible)[: case_count(case, rows)]
        free[chosen[case]] = False
    return chosen


def _change(lines: pd.DataFrame, chosen: dict[str, np.ndarray], rng: np.random.Generator) -> pd.DataFrame:
    """The chosen lines with what their case changes in them."""
    amount = lines["amount_posted_minor"].to_numpy()
    posted, fee, case = amount.copy(), np.zeros(len(lines), dtype=np.int64), lines["case"].to_numpy(dtype=object).copy()
    for name, rows in chosen.items():
        case[rows] = "" if name == "duplicate_bank_line" else name
    off = chosen["amount_mismatch"]
    posted[off] += rng.choice([-1, 1], len(off)) * amount[off] * rng.integers(2, 13, len(off)) // 100
    charged = chosen["fee_variance"]
    fee[charged] = amount[charged] * 14 // 1000
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
        amount_posted_minor=posted,
        fee_charged_minor=fee,
        booking_date=booking,
        is_credit=is_credit,
        account=account,
        end_to_end_id=lines["end_to_end_id"].where(~lost, NOT_PROVIDED),
        case=case,
    )


def _in_destination_currency(lines: pd.DataFrame, payments: pd.DataFrame, fx_rates: pd.DataFrame) -> pd.DataFrame:
    """Booked on the account of the destination currency: at the day's rate, or 2 % off it (fx_difference)."""
    rows = np.flatnonzero(lines["case"].isin(["fx_difference", "booked_in_destination"]).to_numpy())
    frame = lines.iloc[rows]
    target = payments["destination"].to_numpy()[frame["payment"]]
    rates = fx_rates.pivot_table("rate", "date", "currency").assign(EUR=1.0)[list(CURRENCIES)]
    of_day = rates.reindex(frame["booking_date"].to_numpy(), method="ffill").to_numpy()
    here = np.arange(len(rows))
    scale = np.array([int(scale_of(c)) for c in CURRENCIES])
    source = frame["account"].to_numpy()
    factor = of_day[here, target] / of_day[here, source] * scale[target] / scale[source]
    factor = factor * np.where(frame["case"] == "fx_difference", 0.98, 1.0)
    posted, account = lines["amount_posted_minor"].to_numpy().copy(), lines["account"].to_numpy().copy()
    posted[rows] = np.rint(posted[rows] * factor).astype(np.int64)
    account[rows] = target
    return lines.assign(amount_posted_minor=posted, account=account)


def _other_parts(first: pd.DataFrame) -> pd.DataFrame:
    """The second line of a split payment: what the first one left."""
    return first.assign(amount_posted_minor=first["whole_minor"] - first["amount_posted_minor"])


def _booked_again(lines: pd.DataFrame) -> pd.DataFrame:
    """The same entry once more on the next business day."""
    again = add_business_days(lines["booking_date"].to_numpy(), 1)
    return lines.assign(pair=-1, case="duplicate_bank_line", booking_date=again)


def _merged_rows(payments: pd.DataFrame, lines: pd.DataFrame) -> np.ndarray:
    is_merged = payments["case"].str.startswith("merged_payout").to_numpy(dtype=bool)
    return np.flatnonzero(is_merged[lines["payment"]])


def _merge(payments: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """One line per group of payouts; in every other group the bank lists the references."""
    groups = lines.assign(case=payments["case"].to_numpy(dtype=object)[lines["payment"]]).groupby("case", sort=True)
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


def _unknown_lines(lines: pd.DataFrame, case: str, counts: dict[str, int], rng: np.random.Generator) -> pd.DataFrame:
    """Credits that we know nothing about, and refunds that the bank paid without us."""
    frame = lines.iloc[rng.choice(np.flatnonzero(lines["is_credit"].to_numpy()), counts[case], replace=False)]
    is_refund = case == "orphan_refund"
    number = np.arange(counts[case]) * 13 + (9_000_000 if is_refund else 8_000_000)
    return frame.assign(
        payment=-1,
        pair=-1,
        is_credit=not is_refund,
        amount_posted_minor=frame["amount_posted_minor"] + 10 * rng.integers(1, 900, len(frame)),
        end_to_end_id=numbered("EXT", number, 7).to_numpy(dtype=object),
        remittance_text="Erstattung ohne Auftrag" if is_refund else "Gutschrift ohne Avis",
        case=case,
    )
