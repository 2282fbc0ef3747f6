"""What customers really paid: which instalments it covers, what is in arrears, for how long, and what is ahead."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlas_lib.core.run import Run
from atlas_lib.core.settings import PortfolioSettings
from atlas_lib.core.tables import declared

_BUCKET_DAYS = [0, 30, 60, 90]
AGEING_BUCKETS = ["not past due", "1-30 days", "31-60 days", "61-90 days", "over 90 days"]


def dated_payments(run: Run) -> pd.DataFrame:
    """The customers' dated payments of a run; an input without them gives an empty table."""
    return run.read("customer_payments") if run.has("customer_payments") else declared("customer_payments").empty()


def place_payments(
    contracts: pd.DataFrame, customer_payments: pd.DataFrame, settings: PortfolioSettings
) -> dict[str, pd.DataFrame]:
    """What became of every dated payment; they come on top of `customer_payment`, received at the purchase.

    Payments of a contract are laid on its receivable in date order: applied = min(amount, receivable - received
    before), the rest is the customer's credit. A payment of an unknown contract, in another currency or dated
    after the as-of day stays open, with its reason. amount = applied + credit + open, always.

    Parameters: contracts (key contract_id), customer_payments (key payment_id).
    Returns: payment_results (key payment_id), minor units.
    """
    if customer_payments.empty:
        return {"payment_results": declared("payment_results").empty()}
    known = contracts[["contract_id", "currency", "receivable_minor", "customer_payment_minor"]]
    paid = customer_payments.merge(
        known.rename(columns={"currency": "contract_currency"}), on="contract_id", how="left", validate="many_to_one"
    ).sort_values(["contract_id", "payment_date", "payment_id"], kind="stable", ignore_index=True)
    status = np.select(
        [
            paid["contract_currency"].isna(),
            paid["contract_currency"] != paid["currency"],
            paid["payment_date"] > pd.Timestamp(settings.as_of),
        ],
        ["unknown contract", "other currency", "after the as-of day"],
        "placed",
    )
    placed = paid["amount_minor"].where(status == "placed", 0)
    before = placed.groupby(paid["contract_id"]).cumsum() - placed
    room = (paid["receivable_minor"] - paid["customer_payment_minor"]).fillna(0).astype("int64").clip(lower=0)
    applied = np.minimum(placed, (room - before).clip(lower=0))
    results = paid.assign(
        status=status,
        applied_minor=applied,
        credit_minor=placed - applied,
        open_minor=paid["amount_minor"] - placed,
    )
    return {"payment_results": declared("payment_results").shaped(results)}


def credit_payments(contracts: pd.DataFrame, payment_results: pd.DataFrame) -> pd.DataFrame:
    """The contracts with all that was received up to the as-of day in `customer_payment_minor`."""
    placed = payment_results[payment_results["status"] == "placed"]
    dated = (placed["applied_minor"] + placed["credit_minor"]).groupby(placed["contract_id"]).sum()
    more = contracts["contract_id"].map(dated).fillna(0).astype("int64")
    return contracts.assign(customer_payment_minor=contracts["customer_payment_minor"] + more)


def age_arrears(
    contracts: pd.DataFrame, schedule: pd.DataFrame, payment_results: pd.DataFrame, settings: PortfolioSettings
) -> dict[str, pd.DataFrame]:
    """Arrears of every contract and their ageing on the as-of day; empty without dated payments.

    Overdue is principal whose due date has passed and that payments do not cover, first instalments first;
    days past due count from the oldest such instalment. A payment covers an instalment on the day on which the
    sum received reaches the principal due up to it; what was late and is covered counts in `late_count`.
    Prepaid is what has been received for instalments due later.

    Parameters: contracts (key contract_id; customer_payment with dated payments, see `credit_payments`),
    schedule (key contract_id, period), payment_results (key payment_id).
    Returns: arrears (key contract_id), ageing (key currency, step).
    """
    if payment_results.empty or contracts.empty:
        return {name: declared(name).empty() for name in ("arrears", "ageing")}
    as_of = pd.Timestamp(settings.as_of)
    days = (as_of - schedule["due_date"]).dt.days
    open_minor = schedule["principal_minor"] - schedule["received_minor"]
    overdue = open_minor.where(days > 0, 0)
    lines = schedule.assign(
        overdue_minor=overdue,
        prepaid_minor=schedule["received_minor"].where(days < 0, 0),
        days_past_due=days.where(overdue > 0, 0),
        overdue_count=(overdue > 0).astype("int64"),
        late_count=_covered_late(contracts, schedule, payment_results),
        open_minor=open_minor,
    )
    sums = lines.groupby("contract_id", sort=False).agg(
        overdue_minor=("overdue_minor", "sum"), prepaid_minor=("prepaid_minor", "sum"),
        days_past_due=("days_past_due", "max"), overdue_count=("overdue_count", "sum"),
        late_count=("late_count", "sum"), outstanding_minor=("open_minor", "sum"),
    )  # fmt: skip
    arrears = contracts.merge(sums, left_on="contract_id", right_index=True, validate="one_to_one")
    over = (arrears["customer_payment_minor"] - arrears["receivable_minor"]).clip(lower=0)
    step = np.searchsorted(_BUCKET_DAYS, arrears["days_past_due"].to_numpy(), side="left")
    arrears = arrears.assign(credit_minor=over, bucket=np.array(AGEING_BUCKETS)[step])
    return {"arrears": declared("arrears").shaped(arrears), "ageing": _ageing(lines, arrears)}


def _covered_late(contracts: pd.DataFrame, schedule: pd.DataFrame, results: pd.DataFrame) -> pd.Series:
    """1 for an instalment that is fully covered, by a payment after its due date.

    Sums received and sums due are compared on one line: contracts lie behind each other at a distance no sum
    reaches, so that one search serves the whole book.
    """
    placed = results[results["applied_minor"] > 0].sort_values(["contract_id", "payment_date", "payment_id"])
    if placed.empty:
        return pd.Series(0, index=schedule.index)
    number = pd.Series(np.arange(len(contracts)), index=contracts["contract_id"].sort_values())
    dated = results.loc[results["status"] == "placed"].groupby("contract_id")[["applied_minor", "credit_minor"]].sum()
    everything = contracts.set_index("contract_id")["customer_payment_minor"]
    undated = everything - dated.sum(axis=1).reindex(everything.index).fillna(0).astype("int64")
    reach = int(contracts[["receivable_minor", "customer_payment_minor"]].to_numpy().max()) + 1
    received = placed.groupby("contract_id")["applied_minor"].cumsum() + placed["contract_id"].map(undated)
    line = placed["contract_id"].map(number) * reach + received
    due = schedule.groupby("contract_id", sort=False)["principal_minor"].cumsum()
    wanted = schedule["contract_id"].map(number) * reach + due
    at = np.searchsorted(line.to_numpy(), wanted.to_numpy(), side="left").clip(max=len(placed) - 1)
    late = placed["payment_date"].to_numpy()[at] > schedule["due_date"].to_numpy()
    is_dated = due > schedule["contract_id"].map(undated)
    is_covered = (schedule["received_minor"] == schedule["principal_minor"]) & (schedule["principal_minor"] > 0)
    return pd.Series((is_covered & is_dated & late).to_numpy(dtype="int64"), index=schedule.index)


def _ageing(lines: pd.DataFrame, arrears: pd.DataFrame) -> pd.DataFrame:
    """Overdue by the age of each instalment, outstanding by the age of each contract's oldest one."""
    step = np.searchsorted(_BUCKET_DAYS, lines["days_past_due"].to_numpy(), side="left")
    overdue = lines.groupby(["currency", step])["overdue_minor"].sum().rename_axis(["currency", "step"])
    by_contract = (
        arrears.groupby(["currency", "bucket"])
        .agg(contract_count=("contract_id", "size"), outstanding_minor=("outstanding_minor", "sum"))
        .reset_index()
    )
    steps = pd.DataFrame({"step": range(len(AGEING_BUCKETS)), "bucket": AGEING_BUCKETS})
    grid = pd.DataFrame({"currency": sorted(arrears["currency"].unique())}).merge(steps, how="cross")
    grid = grid.merge(overdue.reset_index(), on=["currency", "step"], how="left", validate="one_to_one")
    grid = grid.merge(by_contract, on=["currency", "bucket"], how="left", validate="one_to_one")
    counted = ["overdue_minor", "contract_count", "outstanding_minor"]
    grid = grid.assign(**grid[counted].fillna(0).astype("int64"))
    whole = grid.groupby("currency")["outstanding_minor"].transform("sum")
    return declared("ageing").shaped(grid.assign(share_rate=grid["outstanding_minor"] / whole.where(whole > 0, 1)))
