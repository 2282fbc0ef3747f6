"""Payment files of payouts: how payouts become files and journals, where these lie, and that they are unchanged.

In the folder `payments` beside the ledger (`<payment_id>` is also the MsgId, `PAY-<execution date>-<hash>`):
```
prepared/<payment_id>.xml, .csv    the payment file and its journal; approval holds the SHA-256 of both
prepared/<payment_id>.*.staged     the copy that the request names in the ledger; it is gone once it has been handed over
prepared/<payment_id>.*.held       that copy, taken back before it was handed over; it is gone once the ledger says so
outbox/<payment_id>.xml            handed over to the bank, byte for byte the approved one
```
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import uuid
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.core import calendars
from atlas_lib.core.durable import keep_names, write_durably
from atlas_lib.core.errors import Refused
from atlas_lib.core.sepa import Debtor, write_pain001
from atlas_lib.reserves_credit.workflow import file_prefix

_JOURNAL = ("payout_id", "end_to_end_id", "debit_account", "credit_account", "amount_minor", "currency")


@dataclass(frozen=True)
class PaymentOrder:
    """One payment file: its payouts, its bytes, and the journal of what will be booked when it is requested."""

    payment_id: str
    execution_date: str
    lines: pd.DataFrame
    content: bytes
    journal: bytes

    @property
    def sha256(self) -> str:
        return hash_of(self.content)

    @property
    def journal_sha256(self) -> str:
        return hash_of(self.journal)


def make_orders(chosen: pd.DataFrame, debtor: Debtor, earliest: date, as_of: date, now: datetime) -> list[PaymentOrder]:
    """The payouts as payment orders, one per debtor account and execution date.

    `chosen`: payout_id, attempt (so far), merchant_id, merchant_name, amount_minor, set_off_minor, currency, due_date,
    iban, bic, town, country. execution_date = first TARGET day on or after both due_date and `earliest`.
    """
    attempt = chosen["attempt"] + 1
    first = np.maximum(chosen["due_date"].to_numpy("datetime64[D]"), np.datetime64(earliest))
    party = {"merchant_name": "creditor_name", "iban": "creditor_iban", "bic": "creditor_bic", "town": "creditor_town"}
    lines = chosen.rename(columns=party | {"country": "creditor_country"}).assign(
        attempt=attempt,
        end_to_end_id=chosen["payout_id"] + "-" + attempt.astype("str"),
        execution_date=calendars.roll_to_business_day(first).astype("str"),
        remittance_text="Payout " + chosen["payout_id"] + f", receivables up to {as_of}",
    )
    return [_make_order(part, str(day), debtor, now) for day, part in lines.groupby("execution_date", sort=True)]


def _make_order(lines: pd.DataFrame, day: str, debtor: Debtor, now: datetime) -> PaymentOrder:
    lines = lines.sort_values("end_to_end_id", ignore_index=True)
    text = "|".join([now.isoformat(), debtor.iban, day, *lines["end_to_end_id"]])
    payment_id = file_prefix(day) + hash_of(text.encode())[:22]
    content = write_pain001(lines, debtor, date.fromisoformat(day), payment_id, now)
    journal = _journal_of(lines).to_csv(index=False, lineterminator="\n").encode()
    return PaymentOrder(payment_id, day, lines.assign(payment_id=payment_id), content, journal)


def _journal_of(lines: pd.DataFrame) -> pd.DataFrame:
    """What is booked when the file is requested: the payment itself, and what of the payout is set off."""
    payable = "liabilities:payout_payable:" + lines["merchant_id"]
    paid = lines.assign(debit_account=payable, credit_account="assets:bank:" + lines["currency"])
    sales = "liabilities:settlement_payable:" + lines["merchant_id"]
    set_off = lines.assign(debit_account=payable, credit_account=sales, amount_minor=lines["set_off_minor"])
    both = pd.concat([paid, set_off[set_off["amount_minor"] > 0]], ignore_index=True)
    return both.sort_values(["end_to_end_id", "credit_account"], ignore_index=True)[list(_JOURNAL)]


class PaymentFolder:
    """The prepared files and the outbox."""

    def __init__(self, folder: Path) -> None:
        self._prepared, self._outbox = folder / "prepared", folder / "outbox"

    def keep(self, order: PaymentOrder) -> None:
        for suffix, content in ((".xml", order.content), (".csv", order.journal)):
            write_durably(self._prepared / f"{order.payment_id}{suffix}", content)

    def check(self, payment_id: str, sha256: str, journal_sha256: str) -> None:
        """Refused unless the prepared file and its journal are those with these SHA-256."""
        for suffix, expected in ((".xml", sha256), (".csv", journal_sha256)):
            path = self._prepared / f"{payment_id}{suffix}"
            found = hash_of(path.read_bytes()) if path.exists() else "no file"
            if found != expected:
                raise Refused(
                    "The payment file is not the one that was prepared and approved", where=path.name, expected=expected,
                    found=found, remedy="withdraw it and prepare it again; the new file needs a new approval",
                )  # fmt: skip

    def journal(self, payment_id: str) -> pd.DataFrame:
        """What the journal says will be booked."""
        content = (self._prepared / f"{payment_id}.csv").read_bytes()
        return pd.read_csv(io.BytesIO(content), dtype={c: "str" for c in _JOURNAL if c != "amount_minor"})

    def name_copy(self, payment_id: str) -> str:
        """A name that no other request has, so that of two at once only the copy named in the ledger can leave."""
        return f"{payment_id}.{uuid.uuid4().hex}.staged"

    def stage(self, payment_id: str, copy: str) -> None:
        """Lay the copy of the prepared file ready that will be handed over."""
        write_durably(self._prepared / copy, (self._prepared / f"{payment_id}.xml").read_bytes())

    def is_waiting(self, copy: str) -> bool:
        return copy != "" and (self._prepared / copy).exists()

    def hold_back(self, copy: str) -> bool:
        """Take a staged copy back, so that nobody can hand it over any more; False when it has left, or never was."""
        if copy == "" or self._held(copy).exists():
            return copy != ""
        with contextlib.suppress(FileNotFoundError):
            (self._prepared / copy).replace(self._held(copy))
            keep_names(self._prepared)
            return True
        return False

    def is_held_back(self, copy: str) -> bool:
        return copy != "" and self._held(copy).exists()

    def drop(self, copy: str) -> None:
        """Remove a copy that was taken back."""
        self._held(copy).unlink(missing_ok=True)

    def _held(self, copy: str) -> Path:
        return self._prepared / f"{copy.removesuffix('.staged')}.held"

    def hand_over(self, payment_id: str, copy: str, sha256: str) -> Path:
        """Move the copy into the outbox: one step, so it has left or it has not; a copy that has left is not made anew.

        Refused when the copy is not the file with this SHA-256, or was taken back.
        """
        path = self._outbox / f"{payment_id}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # somebody who asked at the same moment has moved it
            found = hash_of((self._prepared / copy).read_bytes())
            if found != sha256:
                raise Refused(
                    "The copy to hand over is not the approved payment file", where=copy, expected=sha256, found=found,
                    remedy=f"copy {payment_id}.xml over it and request again",
                )  # fmt: skip
            (self._prepared / copy).replace(path)
            for folder in (self._outbox, self._prepared):
                keep_names(folder)
        if self.is_held_back(copy):
            raise Refused(
                "The payment file was taken back", where=payment_id, remedy="withdraw it, then prepare it again"
            )
        return path


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
