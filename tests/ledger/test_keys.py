"""The ledger's own names are one list, and no room makes another."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pandas as pd

from atlas_lib.ledger import keys

ROOMS = ("reserves_credit", "reconciliation", "batching_settlement", "portfolio", "dashboard", "operations", "ledger")
# What looks like such a name and stands before something else than the id of an event.
OTHER = {"purchases:", "desk:", "move:", "settlement:", "sales:", "liabilities:", "batch:"}
LIBRARY = Path(keys.__file__).parents[1]


def names_in(path: Path) -> set[str]:
    texts = (n.value for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Constant))
    return {text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]+(-[a-z]+)*:", text)}


def test_every_name_that_a_room_puts_before_an_id_is_in_the_list():
    used = {name for room in ROOMS for path in (LIBRARY / room).rglob("*.py") for name in names_in(path)}
    assert used - OTHER == set(keys.OWN)


def test_own_names_are_known_in_any_letters_and_only_at_the_start():
    ids = pd.Series(["payout:1", "PAYOUT:1", "reserve-days:M:EUR", "order:payout:1", "payout", "", None], dtype="str")
    assert keys.is_own(ids).tolist() == [True, True, True, False, False, False, False]
