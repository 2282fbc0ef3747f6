"""The purchased contracts, in the figures of the client's workbook, and the limits set on them."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd

from atlas_lib.core.calendars import add_months

LIMIT_SHARE = {"limit_breach": 0.5, "near_limit_watch": 1 / 0.84, "near_limit_warn": 1 / 0.94}


def draw_contracts(rows: int, merchants: pd.DataFrame, as_of: date, rng: np.random.Generator) -> pd.DataFrame:
    """One row per contract, amounts in cents, every identity exact.

    receivable = premium x term; purchase_price = valuation_sum x purchase_rate;
    reserve = purchase_price x reserve_rate; payout = purchase_price - reserve; margin = receivable - purchase_price.
    The valuation sum is a multiple of 400 EUR and the rates of 0.0005 and 0.05, so no half cent arises.
    """
    count = max(40, rows // 30)
    merchant = np.sort(np.concatenate([np.arange(len(merchants)), _spread(count, len(merchants), rng)])[:count])
    term = rng.choice([36, 48, 60, 72], count, p=[0.1, 0.15, 0.65, 0.1])
    premium = 50 * rng.integers(70, 480, count)
    premium = np.where(rng.random(count) < 0.12, premium + rng.integers(1, 50, count), premium)
    receivable = premium * term
    valuation = 40_000 * np.maximum(np.rint(receivable * rng.uniform(12.9, 13.5, count) / 40_000).astype(np.int64), 1)
    rate = rng.integers(98, 128, count)  # in steps of 0.0005
    price = valuation * rate // 2000
    reserve_step = rng.choice([0, 1, 2], count, p=[0.1, 0.2, 0.7])  # in steps of 0.05
    reserve = price * reserve_step // 20
    start = _start_dates(count, as_of, rng)
    return pd.DataFrame(
        {
            "contract_id": [f"VTR-{i:05d}" for i in range(10_001, 10_001 + count)],
            "merchant": merchant,
            "start_date": start,
            "term_months": term,
            "premium_minor": premium,
            "receivable_minor": receivable,
            "valuation_sum_minor": valuation,
            "purchase_rate": rate / 2000,
            "max_purchase_rate": (rate + 40) // 20 * 20 / 2000,
            "reserve_rate": reserve_step / 20,
            "customer_payment_minor": premium * _paid_count(start, as_of, rng),
            "purchase_price_minor": price,
            "partner_margin_minor": receivable - price,
            "merchant_reserve_minor": reserve,
            "merchant_payout_minor": price - reserve,
        }
    )


def draw_obligors(contracts: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The contracts with obligor_id and contra_minor.

    A few debtors owe much, as in a real book; some buy from several merchants, and some are owed something in turn.
    """
    count = max(12, len(contracts) // 3)
    weights = 1 / (np.arange(count) + 2.0)
    obligor = rng.choice(count, len(contracts), p=weights / weights.sum())
    contra = 50_000 * rng.integers(1, 6, len(contracts))
    has_contra = rng.random(len(contracts)) < 0.06
    return contracts.assign(
        obligor_id=[f"DEB-{n + 1:04d}" for n in obligor], contra_minor=np.where(has_contra, contra, 0)
    )


def set_limits(merchants: pd.DataFrame, contracts: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
    """Credit limit in units, so that each merchant's receivables use the share its role asks for."""
    receivable = np.bincount(contracts["merchant"], contracts["receivable_minor"], len(merchants)) / 100
    usual = rng.uniform(1.6, 4.0, len(merchants))
    share = merchants["role"].map(LIMIT_SHARE).to_numpy(dtype=float)
    exact = receivable * np.where(np.isnan(share), usual, share)
    step = np.where(np.isnan(share), 5000, 100)
    return pd.Series((np.ceil(exact / step) * step).astype(np.int64), name="credit_limit")


def _spread(count: int, merchant_count: int, rng: np.random.Generator) -> np.ndarray:
    weights = 1 / (np.arange(merchant_count) + 4.0)
    return rng.choice(merchant_count, count, p=weights / weights.sum())


def _start_dates(count: int, as_of: date, rng: np.random.Generator) -> np.ndarray:
    """The 1st or 15th of one of the last twelve months."""
    month = np.datetime64(as_of, "M") - rng.integers(0, 12, count)
    return month.astype("datetime64[D]") + np.where(rng.random(count) < 0.6, 0, 14)


def _paid_count(start: np.ndarray, as_of: date, rng: np.random.Generator) -> np.ndarray:
    """Instalments received: one per month begun, a few customers one or two behind."""
    today = np.datetime64(as_of, "D")
    due = np.array([(add_months(start, month) <= today) for month in range(12)]).sum(axis=0)
    behind = rng.choice([0, 1, 2], len(start), p=[0.88, 0.08, 0.04])
    return np.asarray(np.maximum(due - behind, 0))
