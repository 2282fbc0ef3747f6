"""Obligation clearing on outside networks: the largest set-off of each, and the CPU seconds it takes."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd

from atlas_lib.batching_settlement.clearing import clear_obligations
from atlas_lib.core.errors import InputError


def describe_network(path: Path) -> str:
    """One line on a network: what is owed, what can be set off, what remains."""
    owed = read_obligations(path)
    started = time.process_time()
    cleared = clear_obligations(owed)
    spent = time.process_time() - started
    left = cleared["amount_minor"] - cleared["set_off_minor"]
    return (
        f"{path.name}: {len(owed):,} obligations of {owed['amount_minor'].sum():,}; "
        f"set off {cleared['set_off_minor'].sum():,}, remaining {left.sum():,}; {spent:.2f} s CPU"
    )


def read_obligations(path: Path) -> pd.DataFrame:
    columns = {"debtor": "payer", "creditor": "payee", "amount": "amount_minor"}
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError("The file of obligations cannot be read", where=str(path), found=str(error)) from error
    names = list(frame.columns)
    if not set(columns) <= set(names) or frame["amount"].dtype != "int64":
        raise InputError(
            "Not a file of obligations", where=str(path), expected="debtor, creditor, amount in whole minor units",
            found=", ".join(f"{n} {t}" for n, t in frame.dtypes.items()),
        )  # fmt: skip
    return frame.rename(columns=columns)[list(columns.values())].assign(currency="")
