"""Tables made by 05_reconciliation."""

from atlas_lib.core.tables.reconciliation import breaks, index, matching, merchants

TABLES = [*matching.TABLES, *breaks.TABLES, *index.TABLES, *merchants.TABLES]
