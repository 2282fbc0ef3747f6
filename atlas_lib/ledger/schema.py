"""The tables of a ledger store, written once, and what each database is told to refuse.

Both stores refuse to change, delete or overwrite what is written, an entry out of sequence, a post, void or
reversal that does not mirror what it closes, a second start of what is in flight or settled, and an overdraft
of an account that may have none. SQLite checks row by row; PostgreSQL once per statement, over all its rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from atlas_lib.ledger.events import ONCE_PER_TRANSACTION

_TABLES = """
CREATE TABLE ledger (ledger_id TEXT NOT NULL, version INTEGER NOT NULL) STRICT;
CREATE TABLE txn (
  txn_no INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL UNIQUE, idempotency_key TEXT, fingerprint TEXT,
  origin TEXT, submitted_us INTEGER, first_append TEXT NOT NULL) STRICT;
CREATE TABLE batch (batch_no INTEGER PRIMARY KEY, batch_id TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE account (
  account_no INTEGER PRIMARY KEY, code TEXT NOT NULL, currency TEXT NOT NULL,
  no_overdraft INTEGER NOT NULL DEFAULT 0, UNIQUE (code, currency)) STRICT;
CREATE TABLE event (
  position INTEGER PRIMARY KEY, txn_no INTEGER, batch_no INTEGER, event_type TEXT NOT NULL,
  amount_minor INTEGER NOT NULL, currency TEXT, ts_us INTEGER NOT NULL, actor TEXT, details TEXT) STRICT;
CREATE TABLE transfer (
  transfer_no INTEGER PRIMARY KEY, position INTEGER NOT NULL, txn_no INTEGER,
  kind TEXT NOT NULL CHECK ({kinds}), pending_no INTEGER UNIQUE,
  debit_account INTEGER NOT NULL, credit_account INTEGER NOT NULL CHECK (credit_account <> debit_account),
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), currency TEXT NOT NULL,
  CHECK ((pending_no IS NULL) = (kind = 'single' OR kind = 'pending'))) STRICT;
CREATE TABLE block (
  block_no INTEGER PRIMARY KEY, append_id TEXT NOT NULL, part INTEGER NOT NULL, body_fingerprint TEXT NOT NULL,
  first_position INTEGER NOT NULL, n INTEGER NOT NULL, first_transfer INTEGER NOT NULL, n_transfer INTEGER NOT NULL,
  event_root BLOB NOT NULL, transfer_root BLOB NOT NULL, prev_hash BLOB NOT NULL UNIQUE, writer TEXT NOT NULL,
  created_us INTEGER NOT NULL, block_hash BLOB NOT NULL UNIQUE, event_leaves BLOB NOT NULL,
  transfer_leaves BLOB NOT NULL, UNIQUE (append_id, part)) STRICT;
CREATE TABLE commitment (commit_key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE balance (
  account_no INTEGER PRIMARY KEY, debits_posted INTEGER NOT NULL, credits_posted INTEGER NOT NULL,
  debits_pending INTEGER NOT NULL, credits_pending INTEGER NOT NULL) STRICT;
CREATE VIEW ledger_entry AS
  SELECT e.position AS entry_id, coalesce(t.transaction_id, '') AS transaction_id, coalesce(b.batch_id, '') AS batch_id,
         e.event_type, e.amount_minor, coalesce(e.currency, '') AS currency, e.ts_us AS timestamp,
         coalesce(e.actor, '') AS actor, coalesce(e.details, '') AS details
  FROM event e LEFT JOIN txn t ON t.txn_no = e.txn_no LEFT JOIN batch b ON b.batch_no = e.batch_no;
"""
# Which entries a batch and an actor have: see runs.py. A store of before gets them when it is opened: see upgrade.py.
_RUNS = """
CREATE TABLE batch_run (
  batch_no INTEGER NOT NULL, first_position INTEGER NOT NULL, n INTEGER NOT NULL CHECK (n > 0),
  PRIMARY KEY (batch_no, first_position)) STRICT, WITHOUT ROWID;
CREATE TABLE actor_run (
  actor TEXT NOT NULL, first_position INTEGER NOT NULL, n INTEGER NOT NULL CHECK (n > 0),
  PRIMARY KEY (actor, first_position)) STRICT, WITHOUT ROWID;
"""
# What closes a transfer moves on the accounts of what it closes and is found through that, by its number.
# One for every read: each more costs a bulk append as much as the row itself.
_INDEXES = """
CREATE INDEX txn_key ON txn (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX event_txn_once ON event (txn_no, (CASE WHEN {once} THEN event_type END)) WHERE txn_no IS NOT NULL;
CREATE INDEX event_batch_fact ON event (batch_no) WHERE batch_no IS NOT NULL AND txn_no IS NULL;
CREATE INDEX transfer_txn ON transfer (txn_no) WHERE txn_no IS NOT NULL;
CREATE INDEX transfer_debit ON transfer (debit_account) WHERE pending_no IS NULL;
CREATE INDEX transfer_credit ON transfer (credit_account) WHERE pending_no IS NULL;
"""
KEPT = ("ledger", "txn", "batch", "account", "event", "transfer", "block", "commitment")
RUNS = ("batch_run", "actor_run")
TRANSFER_KINDS = ("single", "pending", "post", "void", "reversal")
_NUMBERED = {"event": "position", "transfer": "transfer_no", "block": "block_no"}
_MIRROR = """
  SELECT 1 FROM transfer p WHERE p.transfer_no = NEW.pending_no AND p.transfer_no < NEW.transfer_no
    AND p.amount_minor = NEW.amount_minor AND p.currency = NEW.currency AND coalesce(p.txn_no, 0) = coalesce(NEW.txn_no, 0)
    AND ((NEW.kind IN ('post', 'void') AND p.kind = 'pending'
          AND p.debit_account = NEW.debit_account AND p.credit_account = NEW.credit_account)
      OR (NEW.kind = 'reversal' AND p.kind IN ('single', 'post')
          AND p.debit_account = NEW.credit_account AND p.credit_account = NEW.debit_account))"""
# CASE, because SQLite would look for rows before it compares the kind: nine microseconds for each transfer of any kind.
_CLOSES = f"CASE WHEN NEW.pending_no IS NULL THEN FALSE ELSE NOT EXISTS ({_MIRROR}) END"
_IN_FLIGHT = """CASE WHEN NEW.kind <> 'pending' OR NEW.txn_no IS NULL THEN FALSE ELSE EXISTS (
    SELECT 1 FROM transfer p LEFT JOIN transfer c ON c.pending_no = p.transfer_no
    WHERE p.txn_no = NEW.txn_no AND p.kind = 'pending' AND p.position <> NEW.position
      AND (c.kind IS NULL OR (c.kind = 'post' AND NOT EXISTS (
        SELECT 1 FROM transfer r WHERE r.pending_no = c.transfer_no)))) END"""
_OVERDRAWN = """NEW.credits_posted + NEW.credits_pending > NEW.debits_posted
   AND (SELECT no_overdraft FROM account WHERE account_no = NEW.account_no) = 1"""
REFUSALS = {
    "transfer_closes": ("transfer", _CLOSES, "a post, void or reversal must mirror the transfer that it closes"),
    "transfer_in_flight": ("transfer", _IN_FLIGHT, "the transaction is in flight or settled already"),
}
# Fresh tables have no statistics yet; without this a plan may read the whole table once for every transfer written.
_BY_INDEX = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"
_SEQUENCE = "{table} is append-only: out of sequence"
_TOO_LOW = "an account that may not be overdrawn would be"


def sqlite_schema() -> Iterator[str]:
    """The statements that make a new SQLite store."""
    yield from _statements(_TABLES.replace("{kinds}", _any_of("kind", TRANSFER_KINDS)))
    yield from sqlite_runs()
    yield from sqlite_checks()
    yield _sqlite_trigger("balance_floor", "UPDATE ON balance", _OVERDRAWN, _TOO_LOW)
    for table in KEPT:
        yield from _sqlite_guards(table)
    for table, number in _NUMBERED.items():
        # Without this, INSERT OR REPLACE would overwrite a row and no trigger would see it.
        last = f"SELECT {number} FROM {table} ORDER BY {number} DESC LIMIT 1"  # noqa: S608
        gap = f"NEW.{number} IS NOT coalesce(({last}), 0) + 1"
        yield _sqlite_trigger(f"{table}_in_sequence", f"INSERT ON {table}", gap, _SEQUENCE.format(table=table))
    yield from indexes()


def sqlite_runs() -> Iterator[str]:
    """The tables of runs and what they refuse."""
    yield from _statements(_RUNS)
    for table in RUNS:
        yield from _sqlite_guards(table)


def sqlite_checks() -> Iterator[str]:
    """What a transfer is checked for when it is written."""
    for name, (table, condition, message) in REFUSALS.items():
        yield _sqlite_trigger(name, f"INSERT ON {table}", condition, message)


def _sqlite_guards(table: str) -> Iterator[str]:
    for verb in ("UPDATE", "DELETE"):
        message = f"{table} is append-only: {verb} refused"
        yield _sqlite_trigger(f"{table}_no_{verb.lower()}", f"{verb} ON {table}", "1", message)


def _sqlite_trigger(name: str, when: str, condition: str, message: str) -> str:
    # FAIL on an insert: see SqliteDatabase.insert. A statement that changes or deletes rows is taken back itself.
    ends = "FAIL" if when.startswith("INSERT") else "ABORT"
    return f"CREATE TRIGGER {name} BEFORE {when} WHEN {condition} BEGIN SELECT RAISE({ends}, '{message}'); END"


def indexes() -> Iterator[str]:
    """The indexes of both stores."""
    yield from _statements(_INDEXES.replace("{once}", _any_of("event_type", ONCE_PER_TRANSACTION)))


def _any_of(column: str, values: Sequence[str]) -> str:
    # Not IN: SQLite evaluates a list for every row it writes, at twice the cost of the whole row.
    return " OR ".join(f"{column} = '{v}'" for v in values)


def postgres_schema() -> Iterator[str]:
    """The statements that make a new PostgreSQL store, with its indexes."""
    yield from _postgres_tables(_TABLES.replace("{kinds}", _any_of("kind", TRANSFER_KINDS)))
    yield from indexes()
    yield (
        "CREATE FUNCTION texts(given json) RETURNS TABLE (value text) LANGUAGE sql IMMUTABLE "
        "AS 'SELECT json_array_elements_text(given)'"
    )
    for table in KEPT:
        yield from _postgres_guard(table)
    for table in ("transfer", "block"):
        yield from _postgres_trigger(
            f"{table}_in_sequence", f"AFTER INSERT ON {table} REFERENCING NEW TABLE AS added",
            _GAP.format(table=table, number=_NUMBERED[table]), _SEQUENCE.format(table=table),
        )  # fmt: skip
    yield from postgres_sequence()
    yield from postgres_runs()
    yield from postgres_checks()
    for name, (table, _, _) in REFUSALS.items():
        yield _postgres_calls(name, f"AFTER INSERT ON {table} REFERENCING NEW TABLE AS added")
    yield from _postgres_trigger("balance_floor", "AFTER INSERT OR UPDATE ON balance", _OVERDRAWN, _TOO_LOW, "ROW")
    yield from _statements(_BOOKING, ending=";;")


def postgres_sequence() -> Iterator[str]:
    """Entries are written in sequence: told by the index, without a copy of all that is written."""
    yield _postgres_function("event_in_sequence", _GAP_AT_END, _SEQUENCE.format(table="event"), _BY_INDEX)
    yield _postgres_calls("event_in_sequence", "AFTER INSERT ON event")


def postgres_runs() -> Iterator[str]:
    """The tables of runs and what they refuse."""
    yield from _postgres_tables(_RUNS)
    for table in RUNS:
        yield from _postgres_guard(table)


def postgres_checks() -> Iterator[str]:
    """The functions that check transfers when they are written."""
    for name, (_, condition, message) in REFUSALS.items():
        wrong = f"EXISTS (SELECT 1 FROM added WHERE {condition.replace('NEW.', 'added.')})"  # noqa: S608
        yield _postgres_function(name, wrong, message, _BY_INDEX)


def _postgres_tables(script: str) -> Iterator[str]:
    for statement in _statements(script):
        typed = re.sub(r"\bINTEGER\b", "BIGINT", statement).replace("BLOB", "BYTEA")
        # Byte order: the same on every server, and a prefix is a range of the index.
        yield re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', re.sub(r"\) STRICT(, WITHOUT ROWID)?$", ")", typed))


def _postgres_guard(table: str) -> Iterator[str]:
    yield from _postgres_trigger(
        f"{table}_is_kept", f"BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}", "true",
        f"{table} is append-only: ' || TG_OP || ' refused",
    )  # fmt: skip


_GAP = """(SELECT count(*) > 0 AND (min({number}) < 1 OR max({number}) - min({number}) + 1 <> count(*)
    OR max({number}) <> (SELECT max({number}) FROM {table})
    OR min({number}) > 1 AND NOT EXISTS (
      SELECT 1 FROM {table} WHERE {number} = (SELECT min({number}) - 1 FROM added))) FROM added)"""
# What lies before the end of the last block is taken; after it there may be no hole, and nothing before the first entry.
_GAP_AT_END = """(SELECT (SELECT min(position) FROM event) < 1 OR EXISTS (
    SELECT 1 FROM (SELECT count(*) AS n, max(position) AS last FROM event WHERE position > sealed.last) AS added
    WHERE added.last - added.n <> sealed.last)
  FROM (SELECT coalesce((SELECT first_position + n - 1 FROM block ORDER BY block_no DESC LIMIT 1), 0) AS last) AS sealed)"""
# The balances follow from the transfers inside the database, with its owner's rights: a writer needs none on them.
_BOOKING = """
CREATE FUNCTION transfer_books() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO balance AS held
    SELECT account_no, sum(is_posted * debit)::bigint, sum(is_posted * credit)::bigint, sum(waits * debit)::bigint,
           sum(waits * credit)::bigint
    FROM (
      SELECT account_no, debit, credit, CASE WHEN kind IN ('single', 'post', 'reversal') THEN 1 ELSE 0 END AS is_posted,
             CASE kind WHEN 'pending' THEN 1 WHEN 'post' THEN -1 WHEN 'void' THEN -1 ELSE 0 END AS waits
      FROM (
        SELECT debit_account AS account_no, kind, sum(amount_minor) AS debit, 0 AS credit FROM added GROUP BY 1, 2
        UNION ALL SELECT credit_account, kind, 0, sum(amount_minor) FROM added GROUP BY 1, 2) AS side
    ) AS moved GROUP BY account_no ORDER BY account_no
  ON CONFLICT (account_no) DO UPDATE SET
    debits_posted = held.debits_posted + excluded.debits_posted,
    credits_posted = held.credits_posted + excluded.credits_posted,
    debits_pending = held.debits_pending + excluded.debits_pending,
    credits_pending = held.credits_pending + excluded.credits_pending;
  RETURN NULL;
END $$;;
CREATE TRIGGER transfer_books AFTER INSERT ON transfer REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION transfer_books();;
"""


def _postgres_trigger(name: str, when: str, condition: str, message: str, each: str = "STATEMENT") -> Iterator[str]:
    yield _postgres_function(name, condition, message)
    yield _postgres_calls(name, when, each)


def _postgres_function(name: str, condition: str, message: str, settings: str = "") -> str:
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT {settings} AS $$ "
        f"BEGIN IF {condition} THEN "
        f"RAISE EXCEPTION USING MESSAGE = '{message}', ERRCODE = 'integrity_constraint_violation'; "
        "END IF; RETURN NULL; END $$"
    )


def _postgres_calls(name: str, when: str, each: str = "STATEMENT") -> str:
    return f"CREATE TRIGGER {name} {when} FOR EACH {each} EXECUTE FUNCTION {name}()"


def _statements(script: str, ending: str = ";") -> Iterator[str]:
    yield from (s for s in (part.strip() for part in script.split(f"{ending}\n")) if s)
