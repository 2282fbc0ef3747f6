"""Tables made by 04_batching_settlement."""

from atlas_lib.core.tables.batching_settlement import planning, settlement

TABLES = [*planning.TABLES, *settlement.TABLES]
