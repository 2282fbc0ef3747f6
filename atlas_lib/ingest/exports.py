"""The sheets of the workbook of findings, in order: columns added up below each."""

from __future__ import annotations

SHEETS: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "rejects": ("", {}),
    "intake_results": ("amount_minor", {}),
    "screening_findings": ("", {}),
    "control_totals": ("", {}),
}
