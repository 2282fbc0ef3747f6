"""What the newest run says of each payout, kept in the ledger, so that no older run pays against it.

Each run books its verdict per merchant and currency (`merchant:<merchant>:<currency>`, PAYOUT_JUDGED): the gates that
block, what is set off, and a mark of the account it goes to (what is owed per contract is booked with the purchases). The
verdict of the latest as-of day counts, of one day that of the run opened last; a run made anew for an earlier day books
nothing against it, nor one that broke off and goes on after a later one. A trial books into its own copy. The desk
asks when a payout is prepared, approved and requested, whatever run is open.

The mark is a part of a hash, long enough to tell a corrected account from the old one and too short to find an account
by it (2^32 marks, some 10^18 German accounts): an account number itself never goes into the ledger.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date

import pandas as pd

from atlas_lib.core.errors import Refused
from atlas_lib.core.money import format_minor
from atlas_lib.core.settings import ReservesCreditSettings
from atlas_lib.ledger import keys
from atlas_lib.ledger.openings import places_of
from atlas_lib.ledger.store import Ledger
from atlas_lib.reserves_credit.appending import Booking, append_decided
from atlas_lib.reserves_credit.gates import judge_merchants
from atlas_lib.reserves_credit.positions import sales_debts
from atlas_lib.reserves_credit.purchases import day_end

_EVENT, _ACTOR = "PAYOUT_JUDGED", "02_reserves_credit"
_KEY = ["merchant_id", "currency"]
_MARK_LENGTH = 8
_ASKED_AT_THE_DESK = "CONTRACT_MOVED"  # what the ledger holds now decides there, see positions.check_cover
_PAID_ALREADY = "NON_POSITIVE_PAYOUT"
VERDICT_COLUMNS = (*_KEY, "amount_minor", "reasons", "payee", "set_off_minor", "run_id", "as_of")
_WHOLE = {"amount_minor": "int64", "set_off_minor": "int64"}


def keep_verdicts(
    payout_summary: pd.DataFrame,
    payouts: pd.DataFrame,
    payout_positions: pd.DataFrame,
    merchants: pd.DataFrame,
    screening_findings: pd.DataFrame,
    ledger: Ledger,
    run_id: str,
    settings: ReservesCreditSettings,
    *,
    today: date | None = None,
) -> dict[str, pd.DataFrame]:
    """Book this run's verdict on every merchant and currency of the summary; the same verdict is booked once.

    So is one on every merchant of the input (without a currency: it holds for all of them), and on the debts of sales of
    those that the summary does not show.

    `today`: the day of the ledger's clock unless given; an as-of day beyond it was mistyped, and keeps no later verdict out.
    """
    said = [
        _verdicts(payout_summary, payouts, payout_positions, merchants),
        _of_merchants(merchants, screening_findings),
    ]

    def plan() -> Booking:
        own = pd.concat([*said, _of_debts(payout_summary, ledger)], ignore_index=True)
        own = own.assign(run_id=run_id, as_of=str(settings.as_of))
        standing = newest_verdicts(own[_KEY], ledger)
        places = places_of([run_id, *standing["run_id"]], ledger)
        return _judged_events(_news(own, standing, places, today or ledger.today()), settings), pd.DataFrame()

    append_decided(ledger, "verdicts", plan)
    return {}


def mark_payee(merchant_id: pd.Series, iban: pd.Series, bic: pd.Series) -> pd.Series:
    """A mark of the account a payout goes to; empty without an account. Another IBAN or BIC gives another mark."""
    rows = zip(merchant_id, iban.fillna(""), bic.fillna(""), strict=True)
    marks = [hashlib.sha256("|".join(r).encode()).hexdigest()[:_MARK_LENGTH] if r[1] else "" for r in rows]
    return pd.Series(marks, index=iban.index, dtype="str")


def newest_verdicts(accounts: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """The verdict that counts for each merchant and currency: VERDICT_COLUMNS; those never judged left out."""
    ids = (keys.MERCHANT + accounts["merchant_id"] + ":" + accounts["currency"]).drop_duplicates()
    events = ledger.newest(_EVENT, ids)
    facts = [json.loads(d) for d in events["details"]]
    given = {"amount_minor": events["amount_minor"], "currency": events["currency"].astype("str")}
    told = {
        c: pd.Series([f[c] for f in facts], index=events.index, dtype=_WHOLE.get(c, "str"))
        for c in VERDICT_COLUMNS
        if c not in given
    }
    return pd.DataFrame(told | given)[list(VERDICT_COLUMNS)]


def against(live: pd.DataFrame, ledger: Ledger, as_of: date) -> pd.Series:
    """What a verdict newer than this run's says against each payout, as a sentence; empty where there is nothing.

    `live`: merchant_id, currency, set_off_minor, payee as they would leave, and stops (what blocks them here). A newer run that says the same stands
    against nothing.
    """
    own = _stands_against(live, live["currency"], ledger, as_of)
    return own.where(own != "", _stands_against(live, pd.Series("", index=live.index, dtype="str"), ledger, as_of))


def _stands_against(live: pd.DataFrame, judged_in: pd.Series, ledger: Ledger, as_of: date) -> pd.Series:
    newest = newest_verdicts(live[["merchant_id"]].assign(currency=judged_in), ledger)
    newest = newest[newest["as_of"] >= str(as_of)].add_prefix("new_")
    known = live.assign(judged_in=judged_in).merge(
        newest,
        left_on=["merchant_id", "judged_in"],
        right_on=["new_merchant_id", "new_currency"],
        how="left",
        validate="m:1",
    )
    known.index = live.index
    is_other = known["new_payee"].fillna("").ne("") & (known["payee"] != "") & (known["new_payee"] != known["payee"])
    set_off = known["new_set_off_minor"].fillna(0).astype("int64")
    blocks = _others(known["new_reasons"].fillna(""), known["stops"])
    owed = [format_minor(int(a), c) for a, c in zip(set_off, known["currency"], strict=True)]
    words = pd.Series("", index=live.index, dtype="str")
    payable = known["set_off_minor"] + known["amount_minor"]
    is_more = set_off.where(set_off < payable, payable) > known["set_off_minor"]
    words = words.mask(
        is_more, "it sets off " + pd.Series(owed, index=live.index, dtype="str") + " " + known["currency"]
    )
    words = words.mask(is_other, "it has another account for this merchant")
    words = words.mask(blocks != "", "it blocks the payout: " + blocks)
    run = "run " + known["new_run_id"].fillna("") + " says otherwise: "
    return (run + words).where(words != "", "").astype("str")


def refuse_against(chosen: pd.DataFrame) -> None:
    """Refused when a newer run's verdict stands against one of these payouts that has not left yet (stands_against)."""
    stopped = chosen[(chosen["stands_against"] != "") & ~chosen["live_status"].isin(["Requested", "Executed"])]
    if len(stopped):
        row = stopped.iloc[0]
        raise Refused(
            "A newer run stands against this payout", where=f"{row['payout_id']}, merchant {row['merchant_id']}",
            found=str(row["stands_against"]), remedy="open that run; withdraw a payment file that is prepared already",
        )  # fmt: skip


def _verdicts(
    payout_summary: pd.DataFrame, payouts: pd.DataFrame, payout_positions: pd.DataFrame, merchants: pd.DataFrame
) -> pd.DataFrame:
    """VERDICT_COLUMNS without run and day. That a payout is paid, or at the bank, is nothing against its merchant."""
    bank = merchants[["merchant_id", "iban", "bic"]]
    full = payout_summary[[*_KEY, "status", "reasons"]].merge(bank, on="merchant_id", how="left", validate="m:1")
    full = full.merge(payout_positions[[*_KEY, "set_off_minor"]], on=_KEY, how="left", validate="1:1")
    full = full.merge(payouts[[*_KEY, "amount_minor"]], on=_KEY, how="left", validate="1:1")
    is_done = full["status"].isin(["Requested", "Executed"])
    kept = _without(full["reasons"], _ASKED_AT_THE_DESK)
    return full.assign(
        reasons=kept.where(~is_done, _without(kept, _PAID_ALREADY)),
        amount_minor=full["amount_minor"].fillna(0).astype("int64"),
        payee=mark_payee(full["merchant_id"], full["iban"], full["bic"]),
    )[[*_KEY, "amount_minor", "reasons", "payee", "set_off_minor"]]


def _of_merchants(merchants: pd.DataFrame, screening_findings: pd.DataFrame) -> pd.DataFrame:
    """What stands against each merchant of the master data, with contracts or without: VERDICT_COLUMNS, currency empty."""
    return pd.DataFrame(
        {
            "merchant_id": merchants["merchant_id"],
            "currency": "",
            "amount_minor": 0,
            "reasons": judge_merchants(merchants, screening_findings),
            "payee": mark_payee(merchants["merchant_id"], merchants["iban"], merchants["bic"]),
            "set_off_minor": 0,
        }
    )


def _of_debts(payout_summary: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Debts of sales of those without contracts in this input, and debts that are gone; what blocked them stays."""
    debts = sales_debts(ledger)
    shown = pd.MultiIndex.from_frame(payout_summary[_KEY])
    debts = debts[~pd.MultiIndex.from_frame(debts[_KEY]).isin(shown)]
    old = newest_verdicts(debts[_KEY], ledger)[[*_KEY, "reasons", "set_off_minor"]]
    known = debts.merge(old, on=_KEY, how="left", validate="1:1")
    known = known[(known["debt_minor"] > 0) | (known["set_off_minor"].fillna(0) > 0)]
    return known[_KEY].assign(
        amount_minor=0, reasons=known["reasons"].fillna("").astype("str"), payee="", set_off_minor=known["debt_minor"]
    )


def _others(reasons: pd.Series, known: pd.Series) -> pd.Series:
    """The codes that are not among the known ones."""
    left = [[c for c in r.split("; ") if c not in k.split("; ")] for r, k in zip(reasons, known, strict=True)]
    return pd.Series(["; ".join(codes) for codes in left], index=reasons.index, dtype="str")


def _without(reasons: pd.Series, code: str) -> pd.Series:
    kept = [[c for c in codes.split("; ") if c != code] for codes in reasons]
    return pd.Series(["; ".join(codes) for codes in kept], index=reasons.index, dtype="str")


def _news(own: pd.DataFrame, standing: pd.DataFrame, places: pd.Series, today: date) -> pd.DataFrame:
    """Verdicts for which none of a later day or a later run stands, nor the same; an account once known stays known.

    `places`: in which order the runs were opened (places_of). A run that says the same as an older one says it anew,
    so that one that broke off in between is known to be older.
    """
    known = own.merge(
        standing.add_prefix("old_"), left_on=_KEY, right_on=["old_merchant_id", "old_currency"], how="left"
    )
    own = own.assign(payee=own["payee"].where(own["payee"] != "", known["old_payee"].fillna("").to_numpy()))
    facts = ["amount_minor", "reasons", "payee", "set_off_minor", "as_of", "run_id"]
    is_same = (own[facts].to_numpy() == known[[f"old_{f}" for f in facts]].to_numpy()).all(axis=1)
    judged = known["old_as_of"].fillna("")
    is_later = (judged > known["as_of"]) & (judged <= str(today))
    place, old_place = known["run_id"].map(places).fillna(-1), known["old_run_id"].map(places)
    is_later |= (judged == known["as_of"]) & (old_place > place)
    news: pd.DataFrame = own[~is_same & ~is_later.to_numpy()].reset_index(drop=True)
    return news


def _judged_events(verdicts: pd.DataFrame, settings: ReservesCreditSettings) -> pd.DataFrame:
    told = verdicts.drop(columns=["amount_minor", "currency"]).to_dict("records")
    return pd.DataFrame(
        {
            "transaction_id": keys.MERCHANT + verdicts["merchant_id"] + ":" + verdicts["currency"],
            "batch_id": "",
            "event_type": _EVENT,
            "amount_minor": verdicts["amount_minor"],
            "currency": verdicts["currency"],
            "timestamp": day_end(settings),
            "actor": _ACTOR,
            "details": pd.Series([json.dumps(t, sort_keys=True) for t in told], dtype=object),
        }
    )
