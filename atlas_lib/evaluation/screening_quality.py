"""How well screening finds what is known: labelled payments, labelled accounts, listed names written another way.

The labels are used to measure and, by the fitted model, on the past only. Every function gives one table.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.core.engine import Engine
from atlas_lib.core.errors import InputError
from atlas_lib.core.settings import IngestSettings
from atlas_lib.core.tables import declared
from atlas_lib.ingest import aml, policies, sanctions
from atlas_lib.ingest.fraud_model import judge_scores
from atlas_lib.ingest.screening import POINT_STEPS
from atlas_lib.ingest.vocabulary import fold, vocabulary

_EPOCH = pd.Timestamp("2020-01-01", tz="UTC")
_SAMPLE = 1000
_SWAPS = [("ou", "u"), ("ee", "i"), ("kh", "h"), ("mohammed", "muhammad"), ("y", "i"), ("sh", "ch"), ("q", "k"), ("w", "v"), ("dh", "d"), ("ph", "f"), ("a", "e")]  # fmt: skip
_CYRILLIC = str.maketrans(
    dict(zip("abvgdeziklmnoprstufhcqwy", "абвгдезиклмнопрстуфхкквй", strict=True)) | {"j": "дж", "x": "кс"}
)
_DIACRITICS = str.maketrans({"a": "á", "e": "é", "o": "ö", "u": "ü", "n": "ñ", "c": "ç", "s": "š"})


def measure_payments(path: Path, label_delay_days: float, engine: Engine, settings: IngestSettings) -> pd.DataFrame:
    """`fraud_quality` of labelled payments: one file with an id, a time, a payer, a merchant, an amount and a fraud mark.

    Where no column says since when the fraud is known, it is `label_delay_days` after the payment.
    """
    raw = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype="str")
    rows = _named(raw, path)
    created = pd.to_datetime(rows["created_at"], utc=True).astype("datetime64[us, UTC]")
    units = rows["amount"].astype("float64")
    transactions = _transactions(
        transaction_id=rows["transaction_id"].astype("str"), user_id=rows["user_id"].astype("str"),
        merchant_id=rows["merchant_id"].astype("str"), amount_minor=(units * 100).round().astype("int64"), created_at=created,
    )  # fmt: skip
    known = (
        pd.to_datetime(rows["labelled_at"], utc=True)
        if "labelled_at" in rows
        else created + pd.Timedelta(days=label_delay_days)
    )
    labels = pd.DataFrame(
        {
            "transaction_id": transactions["transaction_id"],
            "is_fraud": rows["is_fraud"].astype("str").str.lower().isin(["1", "true", "yes"]),
            "labelled_at": known,
        }
    )
    given = {"transactions": transactions, "merchants": declared("merchants").empty(), "fraud_labels": labels}
    return judge_scores(given, engine, POINT_STEPS, settings).table


def _named(raw: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The columns under our names; a leading `tx` counts for nothing."""
    known = {**vocabulary()[1]["fraud_labels"], **vocabulary()[1]["transactions"]}
    names = {c: known.get(fold(c)) or known.get(fold(c).removeprefix("tx")) for c in raw.columns}
    kept = {c: n for c, n in reversed(names.items()) if n}
    rows = raw[[c for c in raw.columns if c in kept]].rename(columns=kept)
    wanted = ["transaction_id", "created_at", "user_id", "merchant_id", "amount", "is_fraud"]
    missing = [w for w in wanted if w not in rows]
    if missing:
        raise InputError(
            "Labelled payments lack columns", where=str(path), expected=", ".join(wanted), found=", ".join(map(str, raw.columns)),
            remedy="name the columns: " + ", ".join(missing),
        )  # fmt: skip
    return rows.loc[:, ~rows.columns.duplicated()]


def _transactions(**columns: pd.Series) -> pd.DataFrame:
    """The payment columns that screening reads."""
    frame = pd.DataFrame(columns)
    rest = {"type": "SALE", "currency": "EUR", "merchant_id": "", "user_id": "", "source_account": "", "destination_account": "", "status": "APPROVED"}  # fmt: skip
    return frame.assign(**{name: value for name, value in rest.items() if name not in frame}).astype(
        dict.fromkeys(rest, "str")
    )


def read_transfers(folder: Path) -> tuple[pd.DataFrame, set[str]]:
    """Transfers of an AMLSim folder as payments between accounts, and the accounts that are marked.

    `transactions.csv` has sourceNodeId, targetNodeId, value, time (a day), `nodes.csv` nodeid and isFraud.
    """
    try:
        edges = pd.read_csv(folder / "transactions.csv")
        nodes = pd.read_csv(folder / "nodes.csv")
    except OSError as error:
        raise InputError(
            "No transfers here", where=str(folder), expected="transactions.csv and nodes.csv", found=str(error)
        ) from error
    place = edges.groupby("time").cumcount()
    transactions = _transactions(
        transaction_id=pd.Series(np.arange(len(edges))).map("T{:07d}".format), source_account=edges["sourceNodeId"].astype("str"),
        destination_account=edges["targetNodeId"].astype("str"), amount_minor=(edges["value"] * 100).round().astype("int64"),
        created_at=(_EPOCH + pd.to_timedelta(edges["time"], unit="D") + pd.to_timedelta(place, unit="s")).astype("datetime64[us, UTC]"),
    )  # fmt: skip
    return transactions, set(nodes.loc[nodes["isFraud"] == 1, "nodeid"].astype("str"))


def aml_hits(transactions: pd.DataFrame, parameters: str, engine: Engine) -> pd.DataFrame:
    """transaction_id and rule of every payment that completes a pattern, under one AML policy of these parameters."""
    policy = pd.DataFrame(
        {"policy_id": ["evaluation"], "policy_type": ["AML"], "parameters": [parameters], "is_active": [True]}
    )
    inputs = {
        "payments": transactions,
        "aml_limits": policies.aml_limits(policy, ["EUR"]),
        "day_offsets": policies.day_offsets(),
    }
    return engine.run(aml.STEPS, inputs, ["aml_hits"], aml.step_parameters(policies.aml_figures(policy)))["aml_hits"]


def measure_transfers(folder: Path, parameters: str, engine: Engine) -> pd.DataFrame:
    """Accounts that each pattern finds (columns rule, accounts_count, precision_rate, recall_rate) of an AMLSim folder
    (`read_transfers`). An account is found when it sends or receives a payment that completes the pattern.
    """
    transactions, fraud = read_transfers(folder)
    hits = aml_hits(transactions, parameters, engine)
    parties = hits.merge(transactions, on="transaction_id", validate="many_to_one")
    accounts = parties.melt("rule", ["source_account", "destination_account"], value_name="account")[
        ["rule", "account"]
    ].drop_duplicates()
    every = accounts.assign(rule="any of them").drop_duplicates()
    found = pd.concat([accounts, every]).assign(is_fraud=lambda f: f["account"].isin(fraud))
    counted = found.groupby("rule", as_index=False).agg(
        accounts_count=("account", "size"), fraud_count=("is_fraud", "sum")
    )
    return counted.assign(
        precision_rate=counted["fraud_count"] / counted["accounts_count"],
        recall_rate=counted["fraud_count"] / max(len(fraud), 1),
    )


def measure_names(folder: Path, innocent: pd.Series, rates: list[float], seed: int) -> pd.DataFrame:
    """Per way of writing and match rate: the share of listed names found as their own entry (recall_rate).

    `innocent` are names of parties that are on no list: the share of them that is found is the last row. Names are
    `_SAMPLE` of the list, of two words or more, drawn with `seed`.
    """
    listed = sanctions.listed_spellings(
        sanctions.read_folder(folder), pd.DataFrame({"policy_id": [], "key": []}).astype("str")
    )
    strong = listed[~listed["is_weak"] & listed["spelling"].str.contains(" ")]
    drawn = strong.sample(min(_SAMPLE, len(strong)), random_state=seed).reset_index(drop=True)
    rng = np.random.default_rng(seed)
    parts = []
    for way, write in _WAYS.items():
        written = pd.Series([write(name, rng) for name in drawn["spelling"]], dtype="str")
        asked = pd.DataFrame(
            {"kind": way, "key": drawn.index.astype("str"), "name": written, "entry": drawn["listed_id"]}
        )
        parts.append(asked[written.str.lower() != drawn["spelling"].str.lower()] if way != "as listed" else asked)
    asked = pd.concat(
        [*parts, pd.DataFrame({"kind": "innocent", "key": innocent.astype("str"), "name": innocent, "entry": "-"})],
        ignore_index=True,
    )
    found = sanctions.match_entries(asked, listed, min(rates))
    best = asked.merge(found, on=["kind", "key", "name"], how="left", validate="one_to_many")
    best = best.assign(is_own=(best["entry"] == best["listed_id"]) | (best["kind"] == "innocent"))
    best = best.assign(match_rate=best["match_rate"].where(best["is_own"]).fillna(0.0))
    top = best.groupby(["kind", "key", "name"], as_index=False)["match_rate"].max()
    rows = [
        {
            "way": way,
            "match_rate": rate,
            "names_count": len(group),
            "found_rate": float((group["match_rate"] >= rate).mean()),
        }
        for way, group in top.groupby("kind", sort=False)
        for rate in rates
    ]
    table = pd.DataFrame(rows).pivot_table("found_rate", ["way", "names_count"], "match_rate").reset_index()
    order = [*_WAYS, "innocent"]
    return table.sort_values("way", key=lambda ways: ways.map(order.index), ignore_index=True)


def _typo(name: str, rng: np.random.Generator, count: int = 1) -> str:
    """A letter changed, left out, doubled or exchanged with the next."""
    letters = list(name)
    for _ in range(count):
        at = int(rng.integers(0, len(letters) - 1))
        kind = int(rng.integers(0, 4))
        changed = {0: ["abcdefghijklmnopqrstuvwxyz"[int(rng.integers(0, 26))]], 1: [], 2: [letters[at]] * 2}
        letters[at : at + (2 if kind == 3 else 1)] = changed.get(kind, letters[at : at + 2][::-1])
    return "".join(letters)


def _words(name: str) -> list[str]:
    return name.replace(",", " ").split()


def _without_middle(name: str, rng: np.random.Generator) -> str:
    words = _words(name)
    if len(words) > 2:
        words.pop(int(rng.integers(1, len(words) - 1)))
    return " ".join(words)


def _spelled_otherwise(name: str, rng: np.random.Generator) -> str:
    """One or two of the ways in which transliterations of a name differ."""
    text = name.lower()
    fitting = [swap for old, new in _SWAPS for swap in ((old, new), (new, old)) if swap[0] in text]
    for pick in rng.permutation(len(fitting))[:2]:
        text = text.replace(*fitting[pick])
    return text


_WAYS: dict[str, Callable[[str, np.random.Generator], str]] = {
    "as listed": lambda name, _: name,
    "one typing error": lambda name, rng: _typo(name, rng),
    "two typing errors": lambda name, rng: _typo(name, rng, 2),
    "words in another order": lambda name, rng: " ".join(rng.permutation(_words(name)).tolist()),
    "a middle word left out": _without_middle,
    "first word as an initial": lambda name, _: " ".join([_words(name)[0], *(w[0] + "." for w in _words(name)[1:2]), *_words(name)[2:]]),
    "another transliteration": _spelled_otherwise,
    "in Cyrillic": lambda name, _: name.lower().translate(_CYRILLIC),
    "with diacritics": lambda name, _: name.lower().translate(_DIACRITICS),
}  # fmt: skip
