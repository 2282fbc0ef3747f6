"""The data dictionary, written from the declarations."""

from __future__ import annotations

from atlas_lib.core.settings import STAGES
from atlas_lib.core.tables import TABLES, Table

_HEAD = """# Data dictionary

Every table that crosses between notebooks, as `core/tables` declares it (`atlas dictionary` writes this page).
Amounts (`*_minor`) are whole minor units of the row's currency, always positive unless the text says otherwise;
a date is a calendar day, an instant is UTC.
"""


def render_dictionary() -> str:
    """Markdown: one section per notebook, one table per declared table."""
    parts = [_HEAD]
    for stage in STAGES:
        parts.append(f"## {stage}\n")
        parts += [_section(t) for t in TABLES.values() if t.stage == stage]
    return "\n".join(parts)


def _section(table: Table) -> str:
    key = ", ".join(f"`{k}`" for k in table.key) or "none (a list)"
    rows = "".join(
        f"| `{c.name}` | {c.type}{', may be empty' if c.nullable else ''} | {c.unit} | {c.about} |\n"
        for c in table.columns
    )
    return f"### {table.name}\n\n{table.about} Key: {key}.\n\n| column | type | unit | meaning |\n|---|---|---|---|\n{rows}"
