"""Rights on a PostgreSQL ledger: a writer may append, a reader may read, nobody may change what is written.

The two roles cannot log in; people and services are made members of one (`GRANT atlas_writer TO ...`). The
owner of the tables could still change them: its login belongs to nobody's daily work, and what it changes is
found by verification with a head that was kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from atlas_lib.core.errors import LedgerError
from atlas_lib.ledger.postgres import PostgresDatabase
from atlas_lib.ledger.schema import KEPT, RUNS
from atlas_lib.ledger.store import open_database

WRITER, READER = "atlas_writer", "atlas_reader"


def grant_roles(url: str, writer: str = WRITER, reader: str = READER) -> None:
    """Make the ledger at `url` if it is new, and its two roles, with nothing but the rights they need.

    Done by the owner of the ledger; doing it again changes nothing. Raises LedgerError for a file, which has no roles.
    """
    database = open_database(url)
    try:
        if not isinstance(database, PostgresDatabase):
            raise LedgerError("A ledger in a file has no roles", found=url, remedy="guard the file by its permissions")
        with database.writing():
            schema = str(database.value("SELECT quote_ident(current_schema())"))
            for name in (writer, reader):
                role = str(database.value("SELECT quote_ident(?)", (name,)))
                if not database.value("SELECT count(*) FROM pg_roles WHERE rolname = ?", (name,)):
                    database.execute(f"CREATE ROLE {role} NOLOGIN")
                for statement in _grants(schema, role, is_writer=name == writer):
                    database.execute(statement)
    finally:
        database.close()


def _grants(schema: str, role: str, is_writer: bool) -> Iterator[str]:
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC, {role}"
    yield f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {role}"
    yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"
    if is_writer:
        appended = ", ".join(f"{schema}.{table}" for table in (*KEPT, *RUNS) if table != "ledger")
        yield f"GRANT INSERT ON {appended} TO {role}"
