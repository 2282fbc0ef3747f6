"""The only schema: every table that crosses between notebooks, by name."""

from atlas_lib.core.errors import TableError
from atlas_lib.core.tables import batching_settlement, ingest, portfolio, reconciliation, reserves_credit
from atlas_lib.core.tables.schema import SOURCE_COLUMNS, Column, Table, arrow_to_frame

__all__ = ["SOURCE_COLUMNS", "TABLES", "Column", "Table", "arrow_to_frame", "declared"]

TABLES: dict[str, Table] = {
    declared.name: declared
    for room in (ingest, reserves_credit, portfolio, batching_settlement, reconciliation)
    for declared in room.TABLES
}


def declared(name: str) -> Table:
    """The declaration of a table; an unknown name is an error, never a guess."""
    try:
        return TABLES[name]
    except KeyError:
        raise TableError(f"No table is called {name}", expected="a table declared in core/tables", found=name) from None
