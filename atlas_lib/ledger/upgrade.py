"""A ledger of an earlier version is brought to the tables of this one when it is opened, by whoever owns it.

Entries, transfers and blocks stay as they are, byte for byte; what is derived from them is made anew: the runs that took
the place of two indexes, one index for two, and the checks of transfers.
"""

from __future__ import annotations

from collections.abc import Iterator

from atlas_lib.ledger import schema

_DROPPED = ("event_txn", "event_batch", "event_actor", "event_once", "transfer_position")


def sqlite_upgrade() -> Iterator[str]:
    """The statements for a SQLite file."""
    yield from schema.sqlite_runs()
    yield from _fill()
    for name in schema.REFUSALS:
        yield f"DROP TRIGGER {name}"
    yield from schema.sqlite_checks()
    yield from _indexes()


def postgres_upgrade() -> Iterator[str]:
    """The statements for PostgreSQL; whoever could write and read before still can."""
    yield from schema.postgres_runs()
    yield from _fill()
    yield from schema.postgres_checks()
    yield "DROP TRIGGER event_in_sequence ON event"
    yield from schema.postgres_sequence()
    yield from _indexes()
    yield _SAME_RIGHTS


def _fill() -> Iterator[str]:
    for table, column in (("batch_run", "batch_no"), ("actor_run", "actor")):
        islands = f"""
          SELECT position, {column}, position - row_number() OVER (PARTITION BY {column} ORDER BY position) AS island
          FROM event WHERE {column} IS NOT NULL"""  # noqa: S608
        grouped = f"SELECT {column}, min(position), count(*) FROM ({islands}) AS held GROUP BY {column}, island"  # noqa: S608
        yield f"INSERT INTO {table} {grouped}"


def _indexes() -> Iterator[str]:
    for name in _DROPPED:
        yield f"DROP INDEX IF EXISTS {name}"
    for statement in schema.indexes():
        yield statement.replace("CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ")


_SAME_RIGHTS = """
DO $$ DECLARE held record; BEGIN
  FOR held IN
    SELECT quote_ident(grantee) AS who, privilege_type AS what, run.name
    FROM information_schema.role_table_grants, (VALUES ('batch_run'), ('actor_run')) AS run (name)
    WHERE table_schema = current_schema() AND table_name = 'event' AND privilege_type IN ('SELECT', 'INSERT')
      AND grantee <> current_user AND grantee <> 'PUBLIC'
  LOOP EXECUTE format('GRANT %s ON %I TO %s', held.what, held.name, held.who); END LOOP;
END $$"""
