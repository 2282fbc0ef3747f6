"""Exposure from purchased contracts: against limits, and how concentrated it is.

Four measures, each smaller than the one before:

    receivables = face value bought
    gross       = receivables outstanding = max(receivable - customer payment, 0)
    funded      = purchase price outstanding = round(purchase price x gross / receivable)
    effective   = funded - Client_RR held      (the payout is already net of the reserve)

The setting `exposure_basis` names the one measured against limit and capital. It is `receivables` by
default: what a workbook says a customer has paid counts only once a bank line confirms it.
"""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pandas as pd

from atlas_lib.core import money
from atlas_lib.core.errors import SettingsError
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared

_OTHER_SCOPES = ("obligor", "counterparty", "currency")
_MEASURES = ["receivables_minor", "gross_minor", "funded_minor", "reserve_minor", "effective_minor"]


def measure_exposure(
    contracts: pd.DataFrame,
    merchants: pd.DataFrame,
    fx_rates: pd.DataFrame,
    reserve_tranches: pd.DataFrame,
    settings: ReservesCreditSettings,
) -> dict[str, pd.DataFrame]:
    """Exposures per merchant, counterparty and currency, and the concentration of the book.

    Merchants have their credit limit; obligors, counterparties and currencies those of the setting `other_limits` (the
    limit of the input's counterparties is one on net settlement positions, which 04_batching_settlement keeps). Contracts
    that name no obligor have no row of that scope (obligors.py says so). Gives exposures, concentration,
    concentration_totals.
    """
    lines = outstanding_lines(contracts, merchants, reserve_tranches)
    limits = credit_limits(lines, merchants, fx_rates, settings)
    merchant = _summed(lines, "merchant", "merchant_id", "merchant_name").merge(
        limits, left_on=["subject_id", "currency"], right_on=["merchant_id", "currency"], validate="one_to_one"
    )
    unlimited = [
        _summed(lines[lines["counterparty_id"].notna()], "counterparty", "counterparty_id", "counterparty_id"),
        _summed(lines[lines["obligor_id"].notna()], "obligor", "obligor_id", "obligor_id"),
        _summed(lines, "currency", "currency", "currency"),
    ]
    others = with_limits(pd.concat(unlimited, ignore_index=True), read_limits(settings))
    exposures = pd.concat([merchant, others], ignore_index=True)
    exposures["limit_minor"] = exposures["limit_minor"].astype("Int64")
    exposures["limit_source"] = exposures["limit_source"].fillna("none")
    exposures = declared("exposures").checked(grade_exposures(exposures, settings))
    return {"exposures": exposures, **measure_concentration(exposures, fx_rates, settings)}


def outstanding_lines(contracts: pd.DataFrame, merchants: pd.DataFrame, reserve_tranches: pd.DataFrame) -> pd.DataFrame:
    """The four measures of every contract; columns contract_id, merchant_id, counterparty_id, currency, `_MEASURES`."""
    face, paid = contracts["receivable_minor"], contracts["customer_payment_minor"]
    gross = (face - paid).clip(lower=0)
    reserve = reserve_tranches[reserve_tranches["source"] == "contract"].set_index("contract_id")["balance_minor"]
    held = contracts["contract_id"].map(reserve).fillna(0).astype("int64")
    funded = _share_of(contracts["purchase_price_minor"], gross, face)
    return contracts.assign(
        counterparty_id=contracts["merchant_id"].map(merchants.set_index("merchant_id")["counterparty_id"]),
        receivables_minor=face,
        gross_minor=gross,
        funded_minor=funded,
        reserve_minor=held,
        effective_minor=funded - held,
    )


def credit_limits(
    lines: pd.DataFrame, merchants: pd.DataFrame, fx_rates: pd.DataFrame, settings: ReservesCreditSettings
) -> pd.DataFrame:
    """The limit of each merchant in each currency it has contracts in; columns limit_minor, limit_source.

    A merchant without a limit gets the default one, in its own currency. A limit in another currency is
    converted at the last rate on or before the as-of day; without a rate it stays empty (`no rate`).
    """
    keys = lines[["merchant_id", "currency"]].drop_duplicates(ignore_index=True)
    known = merchants[["merchant_id", "currency", "credit_limit_minor"]].rename(columns={"currency": "limit_currency"})
    limits = keys.merge(known, on="merchant_id", how="left", validate="many_to_one")
    own = limits["limit_currency"].fillna(limits["currency"])
    default = money.to_minor(np.full(len(limits), settings.default_credit_limit), own, settings.rounding)
    given = limits["credit_limit_minor"].astype("Int64")
    amount = given.fillna(pd.Series(default, index=limits.index, dtype="Int64"))
    factor = fx_factor(own, limits["currency"], fx_rates, settings.as_of)
    has_rate = factor.notna()
    converted = pd.Series(pd.NA, index=limits.index, dtype="Int64")
    converted[has_rate] = money.round_product(amount[has_rate].astype("int64"), factor[has_rate], settings.rounding)
    source = np.where(given.notna(), "input", "default")
    return keys.assign(limit_minor=converted, limit_source=np.where(has_rate, source, "no rate"))


def read_limits(settings: ReservesCreditSettings) -> pd.DataFrame:
    """The setting `other_limits` as rows scope, subject_id (`*`: every one), currency, limit_minor, source.

    Raises SettingsError naming the entry that is not `scope subject currency amount`.
    """
    rows = []
    for entry in filter(None, (e.strip() for e in settings.other_limits.split(";"))):
        parts = entry.split()
        amount = parts[3] if len(parts) == 4 else ""
        if len(parts) != 4 or parts[0] not in _OTHER_SCOPES or not re.fullmatch(r"\d+(\.\d+)?", amount):
            raise SettingsError(
                "A limit is not understood", where="other_limits", found=entry,
                expected="scope subject currency amount, as in `counterparty CP-01 EUR 500000`; scope " + ", ".join(_OTHER_SCOPES),
            )  # fmt: skip
        rows.append([*parts[:3], int(money.to_minor([float(amount)], parts[2])[0])])
    return pd.DataFrame(rows, columns=pd.Index(["scope", "subject_id", "currency", "limit_minor"]))


def with_limits(exposures: pd.DataFrame, limits: pd.DataFrame) -> pd.DataFrame:
    """The exposures with limit_minor and limit_source `settings`; a subject's own limit goes before that of `*`."""
    keys = ["scope", "subject_id", "currency"]
    named = exposures.merge(limits, on=keys, how="left", validate="many_to_one")["limit_minor"].astype("Int64")
    every = limits[limits["subject_id"] == "*"].drop(columns="subject_id")
    common = exposures.merge(every, on=["scope", "currency"], how="left", validate="many_to_one")["limit_minor"]
    limit = named.fillna(common.astype("Int64"))
    source = pd.Series("settings", index=limit.index, dtype="str").where(limit.notna(), "none")
    return exposures.reset_index(drop=True).assign(limit_minor=limit, limit_source=source)


def fx_factor(source: pd.Series, target: pd.Series, fx_rates: pd.DataFrame, as_of: date) -> pd.Series:
    """Minor units of `target` for one minor unit of `source`, at the last rates on or before the as-of day.

    Rates are units per EUR, as the ECB publishes: factor = rate(target) / rate(source) x scale ratio.
    Empty where a rate is missing; exactly 1 within one currency.
    """
    usable = fx_rates[fx_rates["date"] <= pd.Timestamp(as_of)].sort_values(["currency", "date"])
    rate = usable.groupby("currency")["rate"].last().to_dict() | {"EUR": 1.0}
    factor = target.map(rate).astype("float64") / source.map(rate).astype("float64")
    factor = factor * money.scale_of(target) / money.scale_of(source)
    return factor.where(source != target, 1.0)


def grade_exposures(exposures: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    """Utilisation, headroom and level of every exposure.

    utilisation = exposure / limit; headroom = limit - exposure, negative when over. A merchant's
    currencies share its one limit, so the level follows their utilisations added up (combined_rate):
    watch from 80 %, warn from 90 %, breach above 100 %; a limit of 0 with any exposure is a breach.
    """
    exposure = exposures[f"{settings.exposure_basis}_minor"].astype("int64")
    limit = exposures["limit_minor"]
    positive = limit.where(limit > 0).astype("float64")
    utilisation = exposure / positive
    combined = utilisation.groupby([exposures["scope"], exposures["subject_id"]]).transform("sum", min_count=1)
    is_breach = (combined > settings.breach_rate) | ((limit == 0).fillna(False).astype(bool) & (exposure > 0))
    choices = [is_breach, combined >= settings.warn_rate, combined >= settings.watch_rate, limit.isna()]
    return exposures.assign(
        utilisation_rate=utilisation,
        combined_rate=combined,
        headroom_minor=limit - exposure,
        level=np.select(choices, ["breach", "warn", "watch", "none"], "ok"),
    )


def measure_concentration(
    exposures: pd.DataFrame, fx_rates: pd.DataFrame, settings: ReservesCreditSettings
) -> dict[str, pd.DataFrame]:
    """Shares, HHI and large-exposure marks of the merchants, in the reporting currency.

    HHI = sum(share^2) x 10,000; effective number = 1 / sum(share^2); marks at 10 % and 25 % of own capital
    (settings). Exposures without an FX rate are left out and counted.
    """
    currency = settings.reporting_currency
    own = exposures[exposures["scope"] == "merchant"].reset_index(drop=True)
    factor = fx_factor(own["currency"], pd.Series(currency, index=own.index), fx_rates, settings.as_of)
    own, factor = own[factor.notna()], factor[factor.notna()]
    converted = money.round_product(own[f"{settings.exposure_basis}_minor"], factor, settings.rounding)
    book = (
        own.assign(exposure_minor=converted)
        .groupby(["subject_id"], sort=True)
        .agg(merchant_name=("subject_name", "first"), exposure_minor=("exposure_minor", "sum"))
        .reset_index(names="merchant_id")
    )
    book = book[book["exposure_minor"] > 0].sort_values(["exposure_minor", "merchant_id"], ascending=[False, True])
    capital = int(money.to_minor([settings.own_capital], currency)[0])
    share = (book["exposure_minor"] / book["exposure_minor"].sum()).astype("float64")
    of_capital = (book["exposure_minor"] / capital).astype("float64")
    marks = [of_capital >= settings.max_exposure_rate, of_capital >= settings.large_exposure_rate]
    concentration = book.assign(
        currency=currency,
        rank=np.arange(1, len(book) + 1),
        share_rate=share,
        hhi_points=share**2 * 10_000,
        capital_rate=of_capital,
        mark=np.select(marks, ["over", "large"], ""),
    )
    left_out = int((exposures["scope"] == "merchant").sum()) - len(own)
    return {
        "concentration": declared("concentration").checked(concentration),
        "concentration_totals": _concentration_totals(concentration, currency, left_out),
    }


def _concentration_totals(concentration: pd.DataFrame, currency: str, unconverted: int) -> pd.DataFrame:
    table = declared("concentration_totals")
    if concentration.empty and not unconverted:
        return table.empty()
    share = concentration["share_rate"]
    squares = float((share**2).sum())
    row = {
        "currency": currency,
        "merchant_count": len(concentration),
        "exposure_minor": int(concentration["exposure_minor"].sum()),
        "hhi_points": squares * 10_000,
        "effective_count": 1 / squares if squares else 0.0,
        "largest_rate": float(share.head(1).sum()),
        "largest10_rate": float(share.head(10).sum()),
        "unconverted_count": unconverted,
    }
    return table.checked(pd.DataFrame([row]))


def _summed(lines: pd.DataFrame, scope: str, subject: str, name: str) -> pd.DataFrame:
    """The measures added up per subject and currency."""
    named = lines.assign(scope=scope, subject_id=lines[subject], subject_name=lines[name])
    sums = named.groupby(["scope", "subject_id", "currency"], sort=True).agg(
        subject_name=("subject_name", "first"), **{m: (m, "sum") for m in _MEASURES}
    )
    return sums.reset_index()


def _share_of(amount: pd.Series, part: pd.Series, whole: pd.Series) -> pd.Series:
    """round(amount x part / whole) with half up, in whole numbers of any size; 0 where there is no whole."""
    numerator = 2 * amount.astype(object) * part.astype(object) + whole.astype(object)
    divisor = 2 * whole.where(whole > 0, 1).astype(object)
    return (numerator // divisor).astype("int64").where(whole > 0, 0)
