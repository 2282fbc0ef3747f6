"""Tables made by 03_portfolio."""

from atlas_lib.core.tables.portfolio import contracts, liquidity, losses

TABLES = [*contracts.TABLES, *losses.TABLES, *liquidity.TABLES]
