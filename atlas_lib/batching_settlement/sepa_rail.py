"""The SEPA file rail: instructions leave as pain.001 files, and the bank answers with pain.002 and camt files.

In one folder beside the ledger:
```
sent/<message id>.xml       every payment file ever made: which key is in which file; never deleted
prepared/<message id>.xml   the copy that is about to leave
outbox/<message id>.xml     left: the bank's software takes it from here
answers/*.xml               what the bank sent back, put here by a person or the bank's software
cancelled/<key>             a payment given up before it was in a file; the key is in none and never will be
```
The key is the EndToEndId. A file is written under its final name before it moves to the outbox, and the move is one
step, so that a crash neither loses a file nor sends one twice. Initiating for somebody else's account needs that
owner's mandate with the bank; an account that is not in the account book is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path

import numpy as np
import pandas as pd

from atlas_lib.batching_settlement.rails import Answer, Instruction, Movements
from atlas_lib.core import calendars, durable
from atlas_lib.core.bank_files import REPLY_COLUMNS, read_pain001, read_replies, shape_replies
from atlas_lib.core.errors import AtlasError, SettingsError
from atlas_lib.core.sepa import Debtor, check_instructions, write_pain001

ACCOUNT_COLUMNS = ("account", "name", "iban", "bic", "town", "country")
_OF_A_FILE = ("rejected", "duplicate")  # a statement speaks of single payments only
_LOCK_SECONDS = 60


class SepaFileRail:
    """Payment files for the bank; `accounts` (ACCOUNT_COLUMNS, key account) says who owns the accounts of a plan."""

    def __init__(self, folder: Path, accounts: pd.DataFrame, as_of: date) -> None:
        self._folder, self._created_at = folder, datetime.combine(as_of, time(12), tzinfo=UTC)
        self._accounts = accounts.fillna("").set_index("account")
        self._taken: dict[str, Instruction] = {}
        self._keys: dict[str, tuple[str, int]] = {}
        self._files_read: set[str] = set()
        self._answers, self._answers_read = shape_replies(pd.DataFrame(columns=pd.Index(REPLY_COLUMNS))), set[Path]()
        for name in ("sent", "prepared", "outbox", "answers", "cancelled"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        with self._alone():
            self._let_go()

    def send(self, instruction: Instruction, idempotency_key: str) -> Answer:
        """pending: it is in the next file, or in one already; refused when SEPA cannot carry it."""
        known = self.query(idempotency_key)
        if known.outcome != "not_found":
            return known
        try:
            self._check(instruction, idempotency_key)
        except AtlasError as error:
            return Answer("refused", str(error))
        self._taken[idempotency_key] = instruction
        return Answer("pending", "in the next payment file")

    def query(self, idempotency_key: str) -> Answer:
        """What the bank said of it last; pending while it says nothing."""
        if (self._folder / "cancelled" / idempotency_key).exists():
            return Answer("cancelled", "given up before it was in a file")
        found = self._sent().get(idempotency_key)
        return Answer("not_found", "in no payment file") if found is None else self._judge(idempotency_key, *found)

    def cancel(self, idempotency_key: str) -> Answer:
        """cancelled when it is in no file, or the bank has refused it; a file that has left is not called back."""
        with self._alone():
            known = self.query(idempotency_key)
            if known.outcome == "not_found":
                self._taken.pop(idempotency_key, None)
                durable.write_durably(self._folder / "cancelled" / idempotency_key, b"")
                return Answer("cancelled", "given up before it was in a file")
        return Answer("cancelled", known.detail) if known.outcome == "refused" else known

    def hand_over(self) -> None:
        """Write what was taken: one file per account that pays and day; a key that has left meanwhile stays out."""
        with self._alone():
            gone = self._sent().keys() | {p.name for p in (self._folder / "cancelled").iterdir()}
            lines = self._lines({k: i for k, i in self._taken.items() if k not in gone})
            for (payer, day), part in lines.groupby(["payer_account", "execution_date"], sort=True):
                self._write(str(payer), str(day), part.reset_index(drop=True))
            self._taken.clear()
            self._let_go()

    def movements(self) -> dict[str, Movements]:
        """Bookings and returns of the keys that were sent.

        One booking may be in several statements: of those with one reference the file with the most counts.
        """
        replies = self._replies()
        own = replies[replies["end_to_end_id"].isin(self._sent().keys())]
        moves = own[(own["reply"] == "booked") | ((own["reply"] == "returned") & (own["reason_code"] != ""))]
        per_file = moves.groupby(["end_to_end_id", "reply", "bank_reference", "source"]).size()
        counts = per_file.groupby(level=[0, 1, 2]).max().groupby(level=[0, 1]).sum().to_dict()
        keys = moves["end_to_end_id"].unique()
        return {k: Movements(*(int(counts.get((k, reply), 0)) for reply in ("booked", "returned"))) for k in keys}

    def _judge(self, key: str, message_id: str, amount_minor: int) -> Answer:
        replies = self._replies()
        is_of_file = replies["reply"].isin(_OF_A_FILE) & (replies["end_to_end_id"] == "")
        own = replies[(replies["end_to_end_id"] == key) | (is_of_file & (replies["payment_id"] == message_id))]
        booked, rejected, doubled = (own[own["reply"] == kind] for kind in ("booked", "rejected", "duplicate"))
        if len(booked) and (booked["amount_minor"] == amount_minor).all():
            return Answer("confirmed", f"booked, {booked['bank_reference'].iloc[0]}")
        if len(booked):
            return Answer(
                "pending", f"the bank booked {booked['amount_minor'].iloc[0]} minor units: a person has to look"
            )
        if len(doubled):
            said = f"the bank has it already ({doubled['reason_code'].iloc[0]}), and the first copy may be paid"
            return Answer("pending", f"{said}: a person has to look")
        if len(rejected):
            first = rejected.iloc[0]
            return Answer("refused", f"rejected by the bank: {first['reason_code']} {first['reason_text']}".strip())
        return Answer("pending", f"in payment file {message_id}; the bank has not booked it yet")

    def _check(self, instruction: Instruction, key: str) -> None:
        line = self._lines({key: instruction}).drop(columns="payer_account")
        day = date.fromisoformat(str(line["execution_date"].iloc[0]))
        check_instructions(line, self._debtor(instruction.payer_account), day, "ATS-CHECK")

    def _lines(self, taken: dict[str, Instruction]) -> pd.DataFrame:
        """Instructions as lines of a payment file; an unknown account has no IBAN and is refused for it."""
        day = np.array([i.settlement_date for i in taken.values()], dtype="datetime64[D]")
        frame = pd.DataFrame(
            {
                "end_to_end_id": list(taken),
                "payer_account": [i.payer_account for i in taken.values()],
                "payee_account": [i.payee_account for i in taken.values()],
                "amount_minor": [i.amount_minor for i in taken.values()],
                "currency": [i.currency for i in taken.values()],
                "execution_date": calendars.roll_to_business_day(day).astype("str"),
                "remittance_text": [f"Settlement {i.instruction_id}" for i in taken.values()],
            }
        )
        owners = self._accounts.add_prefix("creditor_")
        return frame.join(owners, on="payee_account").sort_values("end_to_end_id", ignore_index=True)

    def _debtor(self, account: str) -> Debtor:
        if account not in self._accounts.index:
            return Debtor("", "", "", "", "")
        return Debtor(*(str(self._accounts.loc[account, c]) for c in ACCOUNT_COLUMNS[1:]))

    def _write(self, payer: str, day: str, lines: pd.DataFrame) -> None:
        content_key = "|".join([payer, day, *lines["end_to_end_id"]])
        message_id = "ATS-" + hashlib.sha256(content_key.encode()).hexdigest()[:24]
        content = write_pain001(lines, self._debtor(payer), date.fromisoformat(day), message_id, self._created_at)
        durable.write_durably(self._folder / "prepared" / f"{message_id}.xml", content)

    def _let_go(self) -> None:
        """Every prepared file is noted as sent and then leaves; after a crash this is where it goes on."""
        for path in sorted((self._folder / "prepared").glob("*.xml")):
            durable.write_durably(self._folder / "sent" / path.name, path.read_bytes())
            path.replace(self._folder / "outbox" / path.name)
        for name in ("outbox", "prepared"):
            durable.keep_names(self._folder / name)

    def _sent(self) -> dict[str, tuple[str, int]]:
        """Key to message id and amount of every payment in a file that has left or is about to."""
        for place in ("sent", "prepared"):
            for path in (self._folder / place).glob("*.xml"):
                if path.name not in self._files_read:
                    self._files_read.add(path.name)
                    header, payments = read_pain001(path)
                    amounts = zip(payments["end_to_end_id"], payments["amount_minor"].tolist(), strict=True)
                    self._keys |= {key: (header["message_id"], amount) for key, amount in amounts}
        return self._keys

    def _replies(self) -> pd.DataFrame:
        """What the bank said so far; a file is read once."""
        new = sorted(p for p in (self._folder / "answers").glob("*.xml") if p not in self._answers_read)
        if new:
            self._answers = pd.concat([self._answers, *(read_replies(p) for p in new)], ignore_index=True)
            self._answers_read |= set(new)
        return self._answers

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time decides what is in a file."""
        import filelock

        with filelock.FileLock(self._folder / ".lock", timeout=_LOCK_SECONDS):
            yield


def read_accounts(path: Path) -> pd.DataFrame:
    """The account book: a CSV file with ACCOUNT_COLUMNS, one line per account of the plan, UTF-8."""
    try:
        book = pd.read_csv(path, dtype="str", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise SettingsError("The account book cannot be read", where="sepa_accounts_path", found=str(error)) from error
    missing = [c for c in ACCOUNT_COLUMNS if c not in book.columns]
    twice = sorted(set(book.loc[book["account"].duplicated(), "account"])) if "account" in book.columns else []
    if missing or twice:
        raise SettingsError(
            "The account book is not complete", where=path.name, expected=", ".join(ACCOUNT_COLUMNS) + ", each account once",
            found="without " + ", ".join(missing) if missing else "twice: " + ", ".join(twice[:3]),
        )  # fmt: skip
    return book[list(ACCOUNT_COLUMNS)]
