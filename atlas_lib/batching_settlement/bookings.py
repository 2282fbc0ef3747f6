"""What the bank has booked, held against the ledger: payments that were given up, made twice, or sent back."""

from __future__ import annotations

import json

from atlas_lib.batching_settlement.flights import PaymentHistory, key_of, read_histories
from atlas_lib.batching_settlement.rails import Movements, Rail
from atlas_lib.ledger.store import Ledger


def booking_differences(ledger: Ledger, rail: Rail) -> list[str]:
    """Where the ledger does not have a payment as the bank has booked it, in sentences; to be asked after execution.

    A key is told when more of it was booked than came back although it was given up, was reversed, or is nobody's; when
    that is more than one payment; and when it came back and the ledger shows it paid still.
    """
    moved = rail.movements()
    if not moved:
        return []
    histories = read_histories(ledger)
    begun = ledger.events(event_types=["SETTLEMENT_INITIATED"])
    planned = {i for d in begun["details"] for i in json.loads(d).get("instructions", [])}
    back = ledger.events(event_types=["SETTLEMENT_REVERSED"])
    reversed_keys = {json.loads(d).get("end_to_end_id") for d in back["details"]}
    told = []
    for key, move in sorted(moved.items()):
        name = key.split(".")[0]
        known = histories.get(name, PaymentHistory())
        is_ours = known.is_paid and key == key_of(name, known)
        said = _difference(move, key in known.cancelled, is_ours, name in planned, key in reversed_keys)
        told += [f"{key}: {said}"] if said else []
    return told


def _difference(move: Movements, is_dead: bool, is_paid: bool, is_planned: bool, is_reversed: bool) -> str:
    stands = move.booked - move.returned
    if stands <= 0:
        is_owed = move.returned > 0 and is_paid and not is_reversed
        return "sent back by the bank, and paid in the ledger: book it with `atlas returns`" if is_owed else ""
    if stands > 1:
        return f"booked by the bank {move.booked} times: ask for {stands - 1} of them back"
    if is_dead:
        return "booked by the bank although it was given up: ask for it back"
    if is_reversed:
        return "booked by the bank, and reversed in the ledger: a person has to look"
    return "" if is_planned else "booked by the bank, and the ledger knows nothing of it: a person has to look"
