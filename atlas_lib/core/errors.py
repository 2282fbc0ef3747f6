"""Errors that say what, where, expected, found and what to do.

Bad *data* is a table (`rejects`, findings); an exception means that a contract is broken and the
work cannot go on.
"""

from __future__ import annotations


class AtlasError(Exception):
    """Base of every error raised on purpose; `exit_code` is what a scheduler sees."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", expected: str = "", found: str = "", remedy: str = "") -> None:
        self.what, self.where, self.expected, self.found, self.remedy = what, where, expected, found, remedy
        super().__init__(self.message())

    def message(self) -> str:
        parts = [self.what.rstrip(".")]
        for label, text in (
            ("Where", self.where),
            ("Expected", self.expected),
            ("Found", self.found),
            ("What to do", self.remedy),
        ):
            if text:
                parts.append(f"{label}: {text.rstrip('.')}")
        return ". ".join(parts) + "."


class InputError(AtlasError):
    """The input cannot be read or too much of it is wrong."""

    exit_code = 2


class SettingsError(AtlasError):
    """A parameter is unknown, out of range or in the wrong unit."""

    exit_code = 3


class TableError(AtlasError):
    """A table breaks its declaration, or is missing from the run directory."""

    exit_code = 4


class CheckFailed(AtlasError):
    """A blocking check of a stage did not pass."""

    exit_code = 5


class LedgerError(AtlasError):
    """The ledger store refuses: conflicting content, broken chain, unreachable."""

    exit_code = 6


class StoreUnreachable(LedgerError):
    """The ledger store is gone in the middle of a call: whether it was written must be asked before it is repeated."""


class Refused(AtlasError):
    """A person may not do this, or the thing is not in a state in which it can be done; nothing was changed."""

    exit_code = 7
