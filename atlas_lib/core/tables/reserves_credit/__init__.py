"""Tables made by 02_reserves_credit."""

from atlas_lib.core.tables.reserves_credit import exposure, payouts, reserves

TABLES = [*payouts.TABLES, *reserves.TABLES, *exposure.TABLES]
