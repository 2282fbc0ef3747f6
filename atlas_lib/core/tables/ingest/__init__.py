"""Tables made by 01_ingest."""

from atlas_lib.core.tables.ingest import inputs, intake

TABLES = [*inputs.TABLES, *intake.TABLES]
