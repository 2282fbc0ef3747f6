"""Which submitted transactions are new: decided for a whole file at once.

A transaction id is taken for ever, an idempotency key for its time to live. The first row that holds
either is the *first holder*; a later row is one of

- again: the same submission read once more (same id, origin and fingerprint): accepted, booked once,
- duplicate: the same body from elsewhere, or a second time in the same file,
- conflict: the same id or key with another body.
"""

from __future__ import annotations

from json.encoder import encode_basestring

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.canonical import nullable_texts, repeated, text_array
from atlas_lib.ledger.events import microseconds

SUBMISSION_COLUMNS = ("transaction_id", "idempotency_key", "fingerprint", "origin")
OUTCOME_COLUMNS = (
    "transaction_id", "is_new", "outcome", "first_transaction_id", "first_origin", "first_fingerprint",
)  # fmt: skip
_HELD = ["transaction_id", "idempotency_key", "fingerprint", "origin", "submitted_us"]
_HOUR_US = 3_600_000_000
_SPECIAL = np.isin(np.arange(256), [*range(32), *b'"\\'])  # bytes


def shape_submissions(frame: pd.DataFrame) -> pd.DataFrame:
    """The submitted rows with empty texts absent, an absent key replaced by the transaction id, time in `ts_us`."""
    needed = (*SUBMISSION_COLUMNS, "amount_minor", "currency", "timestamp")
    missing = [c for c in needed if c not in frame.columns]
    if missing:
        raise LedgerError("Submissions lack columns", expected=", ".join(needed), found="without " + ", ".join(missing))
    texts = pd.DataFrame({c: _series(nullable_texts(frame[c])) for c in (*SUBMISSION_COLUMNS, "currency")})
    key = texts["idempotency_key"].where(texts["idempotency_key"].notna(), texts["transaction_id"])
    amounts = frame["amount_minor"].to_numpy("int64")
    return texts.assign(idempotency_key=key, amount_minor=amounts, ts_us=microseconds(frame["timestamp"]))


def _series(texts: pa.LargeStringArray) -> pd.Series:
    """Texts as pandas holds them, over the same memory."""
    return pd.Series(texts.to_pandas(), dtype="str")


def decide(rows: pd.DataFrame, held: pd.DataFrame, ttl_hours: int | None) -> pd.DataFrame:
    """OUTCOME_COLUMNS for every row, in order, and `holder`: the row that holds (negative: held before).

    `rows` as shaped above; `held`: what the store holds already under these ids and keys, oldest first
    (transaction_id, idempotency_key, fingerprint, origin, submitted_us).
    """
    given, before = rows.rename(columns={"ts_us": "submitted_us"})[_HELD], len(held)
    held = held.assign(submitted_us=held["submitted_us"].fillna(0))  # an id that came by an append was never submitted
    known = pd.concat([held[_HELD].astype(given.dtypes), given], ignore_index=True) if before else given
    if not before and rows["transaction_id"].is_unique and rows["idempotency_key"].is_unique:
        holder, first = np.arange(len(rows)), known
    else:
        holder = _find_holders(known, before, ttl_hours)[before:]
        first = known.iloc[holder].reset_index(drop=True)
    is_new = holder == np.arange(before, len(known))
    outcome = "new" if is_new.all() else _outcomes(rows, first, is_new, was_held=holder < before)
    decided = {
        "transaction_id": rows["transaction_id"],
        "is_new": is_new,
        "outcome": pd.Series(outcome, index=rows.index, dtype=object),
        "first_transaction_id": first["transaction_id"],
        "first_origin": first["origin"],
        "first_fingerprint": first["fingerprint"],
    }
    return pd.DataFrame(decided, columns=pd.Index(OUTCOME_COLUMNS))


def _outcomes(rows: pd.DataFrame, first: pd.DataFrame, is_new: np.ndarray, was_held: np.ndarray) -> np.ndarray:
    same_body = (rows["fingerprint"] == first["fingerprint"]).to_numpy()
    same_id = (rows["transaction_id"] == first["transaction_id"]).to_numpy()
    same_origin = (rows["origin"] == first["origin"]).to_numpy()
    could_be_again = was_held & same_body & same_id & same_origin
    repeated = rows["transaction_id"].where(could_be_again).duplicated().to_numpy()
    choices = [is_new, could_be_again & ~repeated, same_body]
    return np.select(choices, ["new", "again", "duplicate"], default="conflict").astype(object)


def _find_holders(known: pd.DataFrame, before: int, ttl_hours: int | None) -> np.ndarray:
    """Row number of each row's first holder; a holder points to itself. The first `before` rows hold already.

    In each pass the undecided rows that come first under both their id and their key become holders, and the rows
    that share an id or a living key with a holder follow it. Most files need one or two passes.
    """
    number = np.arange(len(known))
    holder = np.where(number < before, number, -1)
    identity = pd.factorize(known["transaction_id"])[0]
    key = pd.factorize(known["idempotency_key"])[0]
    time = known["submitted_us"].to_numpy("int64", na_value=0)
    reach = np.iinfo("int64").max if ttl_hours is None else ttl_hours * _HOUR_US
    newest = number[:before]
    while True:
        _follow(holder, newest, identity, key, time, reach)
        open_rows = number[holder < 0]
        if not len(open_rows):
            break
        is_first = ~pd.Series(identity[open_rows]).duplicated() & ~pd.Series(key[open_rows]).duplicated()
        newest = open_rows[is_first.to_numpy()]
        holder[newest] = newest
    # The passes settle who holds; among several that a row could follow, the key goes before the id, the older first.
    holders = np.flatnonzero(holder == number)
    holder[holder != number] = -1
    _follow(holder, holders, identity, key, time, reach)
    return holder


def _follow(
    holder: np.ndarray, newest: np.ndarray, identity: np.ndarray, key: np.ndarray, time: np.ndarray, reach: int
) -> None:
    """Give every undecided row its holder among the newest ones: by living key first, then by id."""
    open_rows = np.flatnonzero(holder < 0)
    held_keys = pd.DataFrame({"code": key[newest], "holder": newest})
    pairs = pd.DataFrame({"code": key[open_rows], "row": open_rows}).merge(
        held_keys, on="code", validate="many_to_many"
    )
    age = np.abs(time[pairs["row"]] - time[pairs["holder"]])
    is_living = (age < reach) & (pairs["holder"] < pairs["row"]).to_numpy()
    living = pairs[is_living].sort_values(["row", "holder"]).drop_duplicates("row")
    holder[living["row"]] = living["holder"]
    open_rows = np.flatnonzero(holder < 0)
    held_ids = np.full(identity.max(initial=-1) + 1, len(holder))
    held_ids[identity[newest]] = newest
    found = held_ids[identity[open_rows]]
    holder[open_rows] = np.where(found < open_rows, found, -1)


def intake_events(rows: pd.DataFrame, decided: pd.DataFrame, writer: str) -> pa.RecordBatch:
    """TRANSACTION_SUBMITTED for the new rows, TRANSACTION_DEDUPED for duplicates and conflicts, under the first holder.

    Shaped as by `shape_events`. A submission read again is no event: nothing happened.
    """
    happened = (decided["outcome"] != "again").to_numpy()
    if not happened.all():
        rows, decided = rows[happened], decided[happened]
    is_new = pa.array(decided["is_new"].to_numpy())
    submitted, deduped = (pa.scalar(f"TRANSACTION_{word}", pa.large_string()) for word in ("SUBMITTED", "DEDUPED"))
    texts = {
        "transaction_id": text_array(decided["first_transaction_id"]),
        "batch_id": repeated(None, len(rows)),
        "event_type": pc.if_else(is_new, submitted, deduped),
        "currency": text_array(rows["currency"]),
        "actor": repeated(writer, len(rows)),
        "details": _details(rows, decided["outcome"]),
    }
    numbers = {name: pa.array(rows[name].to_numpy()) for name in ("amount_minor", "ts_us")}
    return pa.RecordBatch.from_pydict(texts | numbers)


def _details(rows: pd.DataFrame, outcome: pd.Series) -> pa.LargeStringArray:
    """What `json.dumps(..., ensure_ascii=False, sort_keys=True)` writes, a column at a time."""
    names = ["fingerprint", "idempotency_key", "origin", "transaction_id"]
    fingerprint, key, origin, identity = (_json_texts(rows[c]) for c in names)
    start = '{"fingerprint": ', fingerprint, ', "idempotency_key": ', key, ', "origin": ', origin
    is_new = (outcome == "new").to_numpy()
    if is_new.all():
        return _written(*start, "}")
    told = _written(*start, ', "outcome": "', text_array(outcome), '", "transaction_id": ', identity, "}")
    return pc.if_else(pa.array(is_new), _written(*start, "}"), told)


def _written(*parts: str | pa.LargeStringArray) -> pa.LargeStringArray:
    """The parts of each row behind each other."""
    columns = (pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in parts)
    return pc.binary_join_element_wise(*columns, pa.scalar("", pa.large_string()))


def _json_texts(values: pd.Series) -> pa.LargeStringArray:
    """Each text in quotation marks, `null` where there is none."""
    texts = text_array(values)
    written = pc.fill_null(_written('"', texts, '"'), "null")
    if not _has_special(texts):
        return written
    is_special = pc.fill_null(pc.match_substring_regex(texts, r'[\x00-\x1f"\\]'), False)
    escaped = [encode_basestring(text) for text in texts.filter(is_special).to_pylist()]
    return pc.replace_with_mask(written, is_special, pa.array(escaped, pa.large_string()))


def _has_special(texts: pa.LargeStringArray) -> bool:
    """Whether JSON writes any character of the column in another way: one look at its bytes."""
    _, ends, data = texts.buffers()
    if data is None or not len(texts):
        return False
    bounds = np.frombuffer(ends, dtype="int64")[[texts.offset, texts.offset + len(texts)]]
    return bool(_SPECIAL[np.frombuffer(data, dtype="uint8")[slice(*bounds)]].any())
