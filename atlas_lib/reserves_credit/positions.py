"""What the ledger already holds for each merchant: contracts paid, payouts under way, and what it owes from its sales.

A payout covers contracts. What an executed or requested payout covered of a contract is not owed again, whichever
run asks: a workbook that has grown, one with only the new contracts, or yesterday's. A contract whose figures went down
after it was paid is owed back: it counts against the next payout also when the input no longer holds it. A contract that
was paid to one merchant and comes again under another is owed back by the first; gates.py stops the second until a
person has accepted the move (moves.py). Where the move is rejected the first owes nothing back.

*Set-off*: the merchant's account of settled sales (with the reserve held from them) below zero, at most what is owed
for contracts. It is explained by the fees, refunds and chargebacks of this input; the rest is the prior balance.
"""

from __future__ import annotations

import json

import pandas as pd

from atlas_lib.core.engine import Input, Steps, open_engine
from atlas_lib.core.errors import Refused
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.core.tables import declared
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.moves import ACCEPTED, OPEN, REJECTED, read_decided
from atlas_lib.reserves_credit.moves import KEY as _MOVE_KEY
from atlas_lib.reserves_credit.purchases import FIGURES, read_bookings
from atlas_lib.reserves_credit.stops import read_blocks
from atlas_lib.reserves_credit.workflow import name_payout, read_states

_KEY = ["merchant_id", "currency"]
_SALES_ACCOUNTS = ("liabilities:settlement_payable:", "liabilities:rolling_reserve:")
_PART = ["contract_id", *_KEY]
_COVERED = [*_PART, "status", "covered_minor"]
_CHARGES: Steps = (
    (
        "charges",
        """
SELECT t.merchant_id, t.currency,
       CAST(SUM(CASE WHEN t.type = 'FEE' THEN t.amount_minor ELSE 0 END) AS BIGINT) AS fees_minor,
       CAST(SUM(CASE WHEN t.type = 'REFUND' THEN t.amount_minor ELSE 0 END) AS BIGINT) AS refunds_minor,
       CAST(SUM(CASE WHEN t.type = 'CHARGEBACK' THEN t.amount_minor ELSE 0 END) AS BIGINT) AS chargebacks_minor
FROM transactions t JOIN settled s ON s.transaction_id = t.transaction_id
WHERE t.type IN ('FEE', 'REFUND', 'CHARGEBACK')
GROUP BY t.merchant_id, t.currency
""",
    ),
)
_OWN: Steps = (
    (
        "own",
        """
SELECT t.transaction_id FROM transactions t JOIN negative n ON n.merchant_id = t.merchant_id AND n.currency = t.currency
WHERE t.type IN ('FEE', 'REFUND', 'CHARGEBACK')
""",
    ),
)


def read_positions(
    contracts: pd.DataFrame, transactions: Input, ledger: Ledger, settings: ReservesCreditSettings
) -> dict[str, pd.DataFrame]:
    """Per contract what payouts cover, and per merchant and currency the payout that comes next and the set-off.

    Gives contract_payments, payout_positions.
    """
    keys = contracts[_KEY].drop_duplicates().sort_values(_KEY, ignore_index=True)
    done = payouts_so_far(_with_former(keys, _figures(read_bookings(contracts["contract_id"], ledger))), ledger)
    covered = covered_by(done)
    payments = _with_cover(contracts[[*_PART, "merchant_payout_minor"]], covered).assign(is_in_input=True)
    payments = _with_moves(payments, covered, ledger)
    payments = pd.concat([payments, _owed_back(covered, payments, contracts, ledger)], ignore_index=True)
    positions = keys.merge(_numbers(keys, done), on=_KEY, how="left", validate="one_to_one")
    owed = payments.groupby(_KEY)["open_minor"].sum().clip(lower=0)
    charged = _set_off(keys, owed, transactions, ledger, settings)
    stopped = read_blocks(keys["merchant_id"].unique(), ledger)["merchant_id"]
    return {
        "contract_payments": declared("contract_payments").checked(payments),
        "payout_positions": declared("payout_positions").checked(
            positions.merge(charged, on=_KEY, how="left", validate="one_to_one").assign(
                is_stopped=positions["merchant_id"].isin(stopped)
            )
        ),
    }


def _with_former(keys: pd.DataFrame, figures: pd.DataFrame) -> pd.DataFrame:
    """The merchants of these contracts, and those under whom the ledger has ever booked one of them."""
    return pd.concat([keys, figures[_KEY]]).drop_duplicates(ignore_index=True)


def _with_moves(payments: pd.DataFrame, covered: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Adds move: what a person said of a contract that was paid under another merchant; empty for any other."""
    got = covered.groupby(_PART)["covered_minor"].sum().reset_index()
    both = payments[_MOVE_KEY].merge(
        got.loc[got["covered_minor"] > 0, _MOVE_KEY], on="contract_id", suffixes=("", "_former")
    )
    moved = both.loc[both["merchant_id"] != both["merchant_id_former"], _MOVE_KEY].drop_duplicates()
    told = moved.merge(read_decided(moved["contract_id"].unique(), ledger), on=_MOVE_KEY, how="left", validate="1:1")
    told = told.assign(move=told["move"].fillna(OPEN))[[*_MOVE_KEY, "move"]]
    known = payments.merge(told, on=_MOVE_KEY, how="left", validate="m:1")
    return known.assign(move=known["move"].fillna("").astype("str"))


def _figures(booked: pd.DataFrame) -> pd.DataFrame:
    """contract_id, merchant_id, currency, merchant_payout_minor of bookings (as read_bookings has them)."""
    parts = booked["figures"].str.split("|")
    told = {name: parts.str[FIGURES.index(name)] for name in (*_KEY, "merchant_payout_minor")}
    return booked[["contract_id"]].assign(**told).astype({"merchant_payout_minor": "int64"})


def _with_cover(owed: pd.DataFrame, covered: pd.DataFrame) -> pd.DataFrame:
    """Adds paid_minor, under_way_minor and open_minor = merchant_payout - paid - under way; key contract and merchant."""
    sums = covered.pivot_table(index=_PART, columns="status", values="covered_minor", aggfunc="sum")
    sums = sums.reindex(columns=["Executed", "Requested"])
    known = owed.join(sums, on=_PART, validate="one_to_one").rename(
        columns={"Executed": "paid_minor", "Requested": "under_way_minor"}
    )
    known = known.assign(**{c: known[c].fillna(0).astype("int64") for c in ("paid_minor", "under_way_minor")})
    return known.assign(open_minor=known["merchant_payout_minor"] - known["paid_minor"] - known["under_way_minor"])


def _owed_back(covered: pd.DataFrame, payments: pd.DataFrame, contracts: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Contracts not in the input under this merchant of which it got more than the ledger's latest figures owe it."""
    stays = payments.loc[payments["move"] == REJECTED, "contract_id"]
    parts = covered.loc[~covered["contract_id"].isin(stays), _PART].drop_duplicates(ignore_index=True)
    given = pd.MultiIndex.from_frame(contracts[_PART])
    outside = parts[~pd.MultiIndex.from_frame(parts).isin(given)]
    booked = read_bookings(outside["contract_id"].drop_duplicates(), ledger)
    latest = _figures(_latest(booked))
    moved = contracts[[*_PART, "merchant_payout_minor"]]
    latest = pd.concat([latest[~latest["contract_id"].isin(moved["contract_id"])], moved], ignore_index=True)
    outside = outside[outside["contract_id"].isin(latest["contract_id"])]
    owed = outside.merge(latest, on=_PART, how="left", validate="one_to_one")
    owed = owed.assign(merchant_payout_minor=owed["merchant_payout_minor"].fillna(0).astype("int64"))
    known = _with_cover(owed, covered).assign(is_in_input=False, move="")
    return known[known["open_minor"] < 0]


def _latest(booked: pd.DataFrame) -> pd.DataFrame:
    """The last version of each contract."""
    return booked.sort_values(["contract_id", "version"]).drop_duplicates("contract_id", keep="last")


def check_cover(chosen: pd.DataFrame, contract_payments: pd.DataFrame, ledger: Ledger) -> None:
    """Refused when what these payouts cover of a contract is not owed, or not to this merchant, as the ledger has it now.

    `chosen`: payouts with payout_id, merchant_id, currency and contracts (as cover_of gives them). Owed is what the latest
    booking of the contract says, whichever run made it; of a contract never booked, what this run says.
    """
    mine = covered_by(chosen.assign(status="Requested")).drop(columns="status")
    figures = read_bookings(mine["contract_id"].drop_duplicates(), ledger)
    done = payouts_so_far(_with_former(chosen[_KEY].drop_duplicates(), _figures(figures)), ledger)
    others = covered_by(done[~done["payout_id"].isin(chosen["payout_id"])])
    _refuse_moved(mine, others, ledger)
    told = contract_payments.set_index(_PART)["merchant_payout_minor"]
    is_booked = told.index.get_level_values("contract_id").isin(figures["contract_id"])
    owed = pd.concat([told[~is_booked], _figures(_latest(figures)).set_index(_PART)["merchant_payout_minor"]])
    known = mine.join(owed.rename("owed_minor"), on=_PART, validate="one_to_one").join(
        others.groupby(_PART)["covered_minor"].sum().rename("other_minor"), on=_PART, validate="one_to_one"
    )
    known = known.fillna({"owed_minor": 0, "other_minor": 0}).astype({"owed_minor": "int64", "other_minor": "int64"})
    wrong = known[known["covered_minor"] + known["other_minor"] > known["owed_minor"]]
    if len(wrong):
        row = wrong.iloc[0]
        raise Refused(
            "A contract of this payout has been paid meanwhile, or is owed less", where=str(row["contract_id"]),
            expected=f"at most {row['owed_minor'] - row['other_minor']} minor units", found=str(row["covered_minor"]),
            remedy="withdraw the payment file if there is one, and make a new run: it shows what is still owed",
        )  # fmt: skip


def _refuse_moved(mine: pd.DataFrame, others: pd.DataFrame, ledger: Ledger) -> None:
    got = others.groupby(_PART)["covered_minor"].sum().reset_index()
    both = mine[mine["covered_minor"] > 0].merge(
        got[got["covered_minor"] > 0], on="contract_id", suffixes=("", "_former")
    )
    moved = both[both["merchant_id"] != both["merchant_id_former"]]
    told = moved.merge(read_decided(moved["contract_id"].unique(), ledger), on=_MOVE_KEY, how="left", validate="m:1")
    wrong = told[told["move"] != ACCEPTED]
    if len(wrong):
        row = wrong.iloc[0]
        raise Refused(
            "A contract of this payout was paid to another merchant", where=str(row["contract_id"]),
            found=f"paid to {row['merchant_id_former']}",
            remedy="decide on the move (`atlas decide moves` lists them), or correct the input",
        )  # fmt: skip


def cover_of(chosen: pd.DataFrame, contract_payments: pd.DataFrame) -> pd.Series:
    """What each payout covers, as a JSON text: contract id to minor units."""
    parts = contract_payments[contract_payments["open_minor"] != 0]
    texts = {
        key: json.dumps(dict(zip(part["contract_id"], part["open_minor"].tolist(), strict=True)), sort_keys=True)
        for key, part in parts.groupby(_KEY)
    }
    keys = zip(chosen["merchant_id"], chosen["currency"], strict=True)
    return pd.Series([texts.get(key, "{}") for key in keys], index=chosen.index, dtype="str")


def paid_parts(contract_ids: pd.Series, ledger: Ledger) -> pd.DataFrame:
    """What executed and requested payouts cover of these contracts, of every merchant they were ever booked under."""
    figures = _figures(read_bookings(contract_ids.drop_duplicates(), ledger))
    covered = covered_by(payouts_so_far(figures[_KEY].drop_duplicates(ignore_index=True), ledger))
    return covered[covered["contract_id"].isin(contract_ids)].reset_index(drop=True)


def paid_files(contract_id: str, ledger: Ledger) -> pd.DataFrame:
    """The requested payouts that cover this contract (columns of payouts_so_far), of whichever merchant."""
    figures = _figures(read_bookings(pd.Series([contract_id], dtype="str"), ledger))
    done = payouts_so_far(figures[_KEY].drop_duplicates(ignore_index=True), ledger)
    covers = [contract_id in json.loads(text or "{}") for text in done["contracts"]]
    return done[(done["status"] == "Requested") & pd.Series(covers, index=done.index, dtype=bool)]


def payouts_so_far(keys: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """The states of every payout of these merchants, with merchant_id, currency and number; asked for until none follows."""
    number, found, left = 1, [], keys
    while len(left):
        ids = [name_payout(m, c, number) for m, c in zip(left["merchant_id"], left["currency"], strict=True)]
        named = left.assign(payout_id=pd.Series(ids, index=left.index, dtype="str"), number=number)
        states = read_states(ids, ledger).drop(columns=["merchant_id", "currency"])
        found.append(named.merge(states, on="payout_id", how="inner", validate="one_to_one"))
        left, number = found[-1][_KEY], number + 1
    empty = keys.head(0).assign(payout_id="", number=0, status="", contracts="", amount_minor=0)
    return pd.concat(found, ignore_index=True) if found else empty


def covered_by(done: pd.DataFrame) -> pd.DataFrame:
    """What executed and requested payouts cover of each contract, and to whom."""
    held = done[done["status"].isin(["Executed", "Requested"])]
    parts = [
        (c, m, k, s, a)
        for m, k, s, t in zip(*(held[n] for n in (*_KEY, "status", "contracts")), strict=True)
        for c, a in json.loads(t or "{}").items()
    ]
    return pd.DataFrame(parts, columns=pd.Index(_COVERED)).astype(
        dict.fromkeys([*_PART, "status"], "str") | {"covered_minor": "int64"}
    )


def _numbers(keys: pd.DataFrame, done: pd.DataFrame) -> pd.DataFrame:
    """How many payouts are executed before the first that is not, and id and amount of that one: it comes next.

    An executed payout that came back is the first again, also when a later one is executed.
    """
    is_executed = (done["status"] == "Executed").astype("int64")
    leading = is_executed.groupby([done[k] for k in _KEY]).cummin()
    executed = leading.groupby([done[k] for k in _KEY]).sum().rename("executed_count")
    joined = keys.join(executed, on=_KEY, validate="one_to_one")
    count = joined["executed_count"].fillna(0).astype("int64")
    following = [name_payout(*row) for row in zip(keys["merchant_id"], keys["currency"], count + 1, strict=True)]
    requested = done[done["status"] == "Requested"].set_index("payout_id")["amount_minor"]
    payout_id = pd.Series(following, index=keys.index, dtype="str")
    amount = payout_id.map(requested).fillna(0).astype("int64")
    return keys.assign(executed_count=count, payout_id=payout_id, requested_minor=amount)


def _set_off(
    keys: pd.DataFrame, owed: pd.Series, transactions: Input, ledger: Ledger, settings: ReservesCreditSettings
) -> pd.DataFrame:
    """What of the payout goes against a negative account of sales: set_off = min(owed, -balance), by what caused it."""
    joined = keys.merge(sales_debts(ledger), on=_KEY, how="left", validate="1:1").join(
        owed.rename("owed_minor"), on=_KEY
    )
    debt = joined["debt_minor"].fillna(0).astype("int64")
    set_off = debt.where(debt < joined["owed_minor"], joined["owed_minor"]).astype("int64")
    named = keys.assign(set_off_minor=set_off)
    charges = _charges(named[set_off > 0][_KEY], transactions, ledger, settings)
    full = named.merge(charges, on=_KEY, how="left", validate="one_to_one")
    kinds = ["fees_minor", "refunds_minor", "chargebacks_minor"]
    full[kinds] = full[kinds].fillna(0).astype("int64")
    return full.assign(prior_balance_minor=full[kinds].sum(axis=1) - full["set_off_minor"])


def sales_debts(ledger: Ledger) -> pd.DataFrame:
    """By how much each account of settled sales, with its reserve, is below zero: merchant_id, currency, debt_minor."""
    balances = ledger.balances()
    parts = [
        balances[balances["account"].str.startswith(p)].assign(merchant_id=balances["account"].str.removeprefix(p))
        for p in _SALES_ACCOUNTS
    ]
    debt = pd.concat(parts).groupby(_KEY)["balance_minor"].sum().clip(lower=0)
    return debt.rename("debt_minor").astype("int64").reset_index()


def _charges(
    negative: pd.DataFrame, transactions: Input, ledger: Ledger, settings: ReservesCreditSettings
) -> pd.DataFrame:
    """Fees, refunds and chargebacks of this input that the ledger has settled, for merchants with a negative account."""
    if negative.empty:
        return negative.assign(fees_minor=0, refunds_minor=0, chargebacks_minor=0)
    engine = open_engine(settings.engine)
    own = engine.run(_OWN, {"transactions": transactions, "negative": negative}, ["own"])["own"]
    claims = ledger.claims(own["transaction_id"])
    settled = claims.loc[claims["status"] == "settled", ["transaction_id"]].drop_duplicates()
    return engine.run(_CHARGES, {"transactions": transactions, "settled": settled}, ["charges"])["charges"]
