"""Intake: each payment is accepted once, whoever sends it again.

The first row that holds a transaction id (for ever) or an idempotency key (for its time to live) is accepted; a later
one with the same body is a duplicate, with another body a conflict. Within the run this is decided by the statement
below over all files, in the order of created_at, file, sheet, row; the ledger store decides across runs, and between
two runs at once, by its unique keys. The same row of the same file read again stays accepted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atlas_lib.core.engine import Engine, Input, Output
from atlas_lib.core.tables import arrow_to_frame, declared
from atlas_lib.ingest.accepted import Sorted, sort_submissions, write_accepted
from atlas_lib.ingest.pieces import coded_columns, gathered, in_turn
from atlas_lib.ledger.store import Ledger

_HOUR_US = 3_600_000_000
_SOURCE = ["source_file", "source_sheet", "source_row"]
_APPEND_ROWS = 122_880  # a group of the file
_ACCEPTING = ("new", "again")
_NAMED = ("transaction_id", "idempotency_key", "fingerprint", "source_file")
_CODED = ["currency", "source_file", "source_sheet"]  # their texts are made where they are needed
_LEDGER_COLUMNS = ["transaction_id", "idempotency_key", "fingerprint", "amount_minor", "currency", "created_at"]


@dataclass(frozen=True)
class _Append:
    """Rows of `submissions` as they are handed to the ledger store, under the id of their append."""

    id: str
    given: pd.DataFrame
    rows: pa.Table


def _repeated(column: str) -> str:
    return f"""
        SELECT key_number({column}, '') AS number FROM submissions
        GROUP BY key_number({column}, '') HAVING COUNT(*) > 1
        """  # noqa: S608 - the name inserted is one of the two below


# One pass: rows that come first under both their id and their key hold them; rows that share a living key or the id
# of such a holder are settled; the rest (a key past its time, a first row that itself followed another) waits.
_PASS = [
    (
        "ranked",
        """
        SELECT row_number, transaction_id, idempotency_key, created_us,
               MIN(row_number) OVER (PARTITION BY transaction_id) AS first_by_id,
               MIN(row_number) OVER (PARTITION BY idempotency_key) AS first_by_key
        FROM open_rows
        """,
    ),
    ("holders", "SELECT * FROM ranked WHERE row_number = first_by_id AND row_number = first_by_key"),
    (
        "settled",
        """
        SELECT r.row_number, h.row_number IS NOT NULL AS is_holder
        FROM ranked r
        LEFT JOIN holders h ON h.row_number = r.row_number
        LEFT JOIN holders k ON k.idempotency_key = r.idempotency_key AND ABS(r.created_us - k.created_us) < :reach_us
        LEFT JOIN holders i ON i.transaction_id = r.transaction_id
        WHERE h.row_number IS NOT NULL OR k.row_number IS NOT NULL OR i.row_number IS NOT NULL
        ORDER BY r.row_number
        """,
    ),
]
# Most rows share neither id nor key with another: only the others need the passes. What repeats is told by numbers
# that stand for the texts, a third of the work; two texts of one number are told apart among the few that are left.
_CONTESTED = [
    ("repeated_ids", _repeated("transaction_id")),
    ("repeated_keys", _repeated("idempotency_key")),
    (
        "suspected",
        """
        SELECT transaction_id, idempotency_key, fingerprint, amount_minor, currency, created_at,
               source_file, source_sheet, source_row
        FROM submissions
        WHERE key_number(transaction_id, '') IN (SELECT number FROM repeated_ids)
           OR key_number(idempotency_key, '') IN (SELECT number FROM repeated_keys)
        """,
    ),
    (
        "contested",
        """
        SELECT * FROM suspected
        WHERE transaction_id IN (SELECT transaction_id FROM suspected GROUP BY transaction_id HAVING COUNT(*) > 1)
           OR idempotency_key IN (SELECT idempotency_key FROM suspected GROUP BY idempotency_key HAVING COUNT(*) > 1)
        ORDER BY created_at, source_file, source_sheet, source_row
        """,
    ),
]
_COLUMNS = ", ".join(f"s.{name}" for name in declared("transactions").column_names)
_ACCEPTED = [
    (
        "transactions",
        f"""
        SELECT {_COLUMNS} FROM submissions s LEFT JOIN held h
          ON h.source_row = s.source_row AND h.source_file = s.source_file AND h.source_sheet = s.source_sheet
        WHERE h.source_row IS NULL ORDER BY s.transaction_id
        """,  # noqa: S608 - the names inserted are those of the declaration
    )
]
# Among several that a row could follow, the key goes before the id, and the older first.
_FOLLOWED = [
    (
        "by_key",
        """
        SELECT r.row_number, MIN(h.row_number) AS holder
        FROM rows_in r JOIN holders h ON h.idempotency_key = r.idempotency_key
        WHERE h.row_number < r.row_number AND r.created_us - h.created_us < :reach_us
        GROUP BY r.row_number
        """,
    ),
    (
        "by_id",
        """
        SELECT r.row_number, MIN(h.row_number) AS holder
        FROM rows_in r JOIN holders h ON h.transaction_id = r.transaction_id
        WHERE h.row_number < r.row_number
        GROUP BY r.row_number
        """,
    ),
    (
        "followed",
        """
        SELECT r.row_number, COALESCE(o.row_number, k.holder, i.holder) AS holder
        FROM rows_in r
        LEFT JOIN holders o ON o.row_number = r.row_number
        LEFT JOIN by_key k ON k.row_number = r.row_number
        LEFT JOIN by_id i ON i.row_number = r.row_number
        ORDER BY r.row_number
        """,
    ),
]


def accept_submissions(submissions: Input, engine: Engine, ledger: Ledger, ttl_hours: int) -> dict[str, Output]:
    """`transactions` (the accepted rows) and `intake_results` (the others: duplicates and conflicts).

    Registers the new ones in the ledger store with TRANSACTION_SUBMITTED, the others with TRANSACTION_DEDUPED. From a
    frame the transactions are a frame, from a file they are a file in the engine's folder.
    """
    with ThreadPoolExecutor(1) as pool:
        ready = pool.submit(sort_submissions, submissions) if isinstance(submissions, Path) else None
        contested = engine.run(_CONTESTED, {"submissions": submissions}, ["contested"])["contested"]
        settled = _settle(contested, engine, ledger, ttl_hours)
        held, table = [settled], declared("intake_results")
        write = partial(_accepted, ready.result() if ready else submissions, engine)
        # Written while the store is at work: it seldom holds any of the others, and then they are written anew.
        accepted = pool.submit(write, settled)
        for append in _uncontested(submissions, contested["transaction_id"]):
            stored = ledger.intake(append.id, append.given, ttl_hours)
            is_held = ~stored["outcome"].isin(_ACCEPTING).to_numpy(dtype=bool)
            if is_held.any():
                said = _said(stored[is_held].reset_index(drop=True))
                held.append(arrow_to_frame(_decoded(append.rows.filter(pa.array(is_held)))).assign(**said))
        results = table.shaped(pd.concat([part for part in held if len(part)] or [table.empty()]))
        if len(results) > len(settled):
            accepted = pool.submit(write, results)
        return {"transactions": accepted.result(), "intake_results": results}


def _accepted(submitted: Sorted | pd.DataFrame | pa.Table, engine: Engine, held: pd.DataFrame) -> Output:
    """The submitted rows without those that are held back."""
    if isinstance(submitted, Sorted):
        return write_accepted(submitted, held[_SOURCE], engine.new_file("transactions"))
    inputs = {"submissions": submitted, "held": held[_SOURCE]}
    return declared("transactions").shaped(engine.run(_ACCEPTED, inputs, ["transactions"])["transactions"])


def _settle(rows: pd.DataFrame, engine: Engine, ledger: Ledger, ttl_hours: int) -> pd.DataFrame:
    """The rows that share an id or a key within the run, in one append: those not accepted, and who holds them."""
    if rows.empty:
        return declared("intake_results").empty()
    holder = find_holders(rows, engine, ttl_hours)
    within = _outcome(rows, holder)
    append = _append_of(pa.Table.from_pandas(rows, preserve_index=False))
    stored = _said(ledger.intake(append.id, append.given, ttl_hours))
    accepted = (stored["status"] == "accepted").to_numpy()
    held_here = (within["status"] == stored["status"]).to_numpy() & accepted[holder]
    said = {str(c): within[c].where(held_here, stored[c]) for c in stored}
    return rows.assign(**said)[~accepted]


def _uncontested(submissions: Input, contested: pd.Series) -> Iterator[_Append]:
    """The other rows, as many at a time as make a good append; the next are made ready while the store has some."""
    shared = pa.array(contested, pa.string())

    def alone(rows: pa.Table) -> _Append:
        is_shared = pc.is_in(rows["transaction_id"], value_set=shared)
        return _append_of(rows.filter(pc.invert(is_shared)) if pc.any(is_shared).as_py() else rows)

    return (append for append in in_turn(alone, _parts(submissions, [*_LEDGER_COLUMNS, *_SOURCE])) if len(append.rows))


def _parts(submissions: Input, columns: list[str]) -> Iterator[pa.Table]:
    if isinstance(submissions, Path):
        said = pq.read_metadata(submissions)
        coded = sorted(set(_CODED) & set(coded_columns(said)))
        with pq.ParquetFile(submissions, read_dictionary=coded, metadata=said) as file:
            batches = file.iter_batches(_APPEND_ROWS, columns=columns)
            yield from gathered(pa.Table.from_batches([batch]) for batch in batches)
        return
    rows = (
        pa.Table.from_pandas(submissions, preserve_index=False)
        if isinstance(submissions, pd.DataFrame)
        else submissions
    )
    for start in range(0, len(rows), _APPEND_ROWS):
        yield rows.select(columns).slice(start, _APPEND_ROWS)


def _append_of(rows: pa.Table) -> _Append:
    return _Append(_append_id(rows), _ledger_rows(rows), rows)


def _said(stored: pd.DataFrame) -> pd.DataFrame:
    """What they mean for the rows: status, first_transaction_id, first_source."""
    status = stored["outcome"].replace(dict.fromkeys(_ACCEPTING, "accepted"))
    earlier = "earlier run, " + stored["first_origin"].fillna("").astype("str")
    made = {"status": status, "first_transaction_id": stored["first_transaction_id"], "first_source": earlier}
    return pd.DataFrame(made).astype("str")


def find_holders(rows: pd.DataFrame, engine: Engine, ttl_hours: int) -> pd.Series:
    """Per row (in order of arrival) the number of the row that holds its id or key; a holder points to itself."""
    rows_in = pd.DataFrame(
        {
            "row_number": np.arange(len(rows), dtype=np.int64),
            "transaction_id": rows["transaction_id"],
            "idempotency_key": rows["idempotency_key"],
            "created_us": rows["created_at"].astype("int64"),
        }
    )
    reach = {"reach_us": ttl_hours * _HOUR_US}
    is_open, is_holder = np.ones(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    while is_open.any():
        settled = engine.run(_PASS, {"open_rows": rows_in[is_open]}, ["settled"], reach)["settled"]
        is_open[settled["row_number"]] = False
        is_holder[settled.loc[settled["is_holder"], "row_number"]] = True
    tables = {"rows_in": rows_in, "holders": rows_in[is_holder]}
    return engine.run(_FOLLOWED, tables, ["followed"], reach)["followed"]["holder"]


def _outcome(rows: pd.DataFrame, holder: pd.Series) -> pd.DataFrame:
    """Status within the run, the holder's id, and where it was read."""
    first = rows.iloc[holder.to_numpy()].reset_index(drop=True)
    is_first = holder.to_numpy() == np.arange(len(rows))
    same_body = (first["fingerprint"] == rows["fingerprint"]).to_numpy()
    place = first["source_file"] + (", " + first["source_sheet"]).where(first["source_sheet"] != "", "")
    return pd.DataFrame(
        {
            "status": np.select([is_first, same_body], ["accepted", "duplicate"], default="conflict").astype(object),
            "first_transaction_id": first["transaction_id"],
            "first_source": place + ", row " + first["source_row"].astype("str"),
        }
    )


def _ledger_rows(rows: pa.Table) -> pd.DataFrame:
    """The origin is the file: a row read again from the file it came from is no second submission."""
    named = {"created_at": "timestamp", "source_file": "origin"}
    return arrow_to_frame(_decoded(rows.select([*_LEDGER_COLUMNS, "source_file"]))).rename(columns=named)


def _decoded(rows: pa.Table) -> pa.Table:
    """With texts in place of codes."""
    coded = [i for i, field in enumerate(rows.schema) if pa.types.is_dictionary(field.type)]
    for i in coded:
        rows = rows.set_column(i, rows.schema.field(i).name, rows.column(i).cast(pa.string()))
    return rows


def _append_id(rows: pa.Table) -> str:
    """The same rows from the same files are one append, however often they are handed in."""
    named = hashlib.sha256()
    for column in _NAMED:
        texts = rows[column].cast(pa.string()).combine_chunks()
        _, offsets, letters = texts.buffers()
        ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
        named.update(np.diff(ends).tobytes())  # where one text ends is content too
        named.update(memoryview(letters or b"")[ends[0] : ends[-1]])
    return f"intake-{named.hexdigest()}"
