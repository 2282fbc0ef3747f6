"""Addresses of the dashboard: run, merchant and currency go along wherever a link leads, so a view can be sent on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

CARRIED = ("run", "merchant", "currency")


class Addresses:
    """Links from one page; `base` is where the dashboard lies, `path` the present page, `asked` its parameters."""

    def __init__(self, base: str, path: str, asked: Mapping[str, str]) -> None:
        self.base, self.path, self.asked = base, path, dict(asked)

    def to(self, path: str, anchor: str = "", **changed: str) -> str:
        """Another page, with the carried filters; a changed one that is empty is left off."""
        kept = {k: self.asked.get(k, "") for k in CARRIED} | changed
        return self._built(path, kept, anchor)

    def here(self, anchor: str = "", **changed: str) -> str:
        """This page with some parameters changed (`table__name` stands for `table.name`)."""
        return self._built(self.path, self.asked | _dotted(changed), anchor)

    def as_asked(self, path: str, **changed: str) -> str:
        """Another path with everything that was asked of this page, some of it changed."""
        return self._built(path, self.asked | _dotted(changed), "")

    def _built(self, path: str, parameters: Mapping[str, str], anchor: str) -> str:
        query = urlencode({k: v for k, v in parameters.items() if v})
        joined = "&" if "?" in path else "?"
        address, _, inner = path.partition("#")
        mark = f"#{anchor or inner}" if anchor or inner else ""
        return f"{self.base}{address}{joined + query if query else ''}{mark}"

    def cells(self) -> dict[str, Any]:
        """Where the cells of known columns lead."""
        merchant, contract = self._leading("merchant", merchant=""), self._leading("contract")

        def subject(row: Mapping[str, Any]) -> str:
            if row.get("scope") == "user":
                return self._customer({"user_id": row["subject_id"]})
            return merchant({"merchant_id": row["subject_id"]}) if row.get("scope") == "merchant" else ""

        def transaction(row: Mapping[str, Any]) -> str:
            """Ledger ids such as `payout:...` are no rows of the input."""
            is_row = is_text(row, "transaction_id") and ":" not in str(row["transaction_id"])
            return self.to(f"transaction/{_part(row['transaction_id'])}") if is_row else ""

        def subaccount(row: Mapping[str, Any]) -> str:
            chosen = {"subaccount_movements.subaccount": str(row["subaccount"])}
            if is_text(row, "merchant_id"):
                chosen["merchant"] = str(row["merchant_id"])
            return self.to("page/02_reserves_credit", "subaccount_movements", **chosen)

        def batch(row: Mapping[str, Any]) -> str:
            return (
                self.to("page/04_batching_settlement", "batches", **{"batches.q": str(row["batch_id"])})
                if is_text(row, "batch_id")
                else ""
            )

        def item(row: Mapping[str, Any]) -> str:
            return transaction(row) if row.get("side") == "payment" else ""

        return {
            "user_id": self._customer, "merchant_id": merchant, "merchant_name": merchant, "subject_id": subject, "contract_id": contract,
            "transaction_id": transaction, "item_id": item, "subaccount": subaccount, "batch_id": batch,
        }  # fmt: skip

    def _customer(self, row: Mapping[str, Any]) -> str:
        """To what is known of the customer of this mask."""
        if not is_text(row, "user_id"):
            return ""
        own = {f"{table}.q": str(row["user_id"]) for table in ("spend_anomalies", "spend_profiles")}
        return self.to("customers", "spend_profiles", merchant="", **own)

    def _leading(self, kind: str, **changed: str) -> Callable[[Mapping[str, Any]], str]:
        """To the page of the row's own merchant or contract."""

        def lead(row: Mapping[str, Any]) -> str:
            name = f"{kind}_id"
            return self.to(f"{kind}/{_part(row[name])}", **changed) if is_text(row, name) else ""

        return lead


def _dotted(named: Mapping[str, str]) -> dict[str, str]:
    return {k.replace("__", "."): v for k, v in named.items()}


def is_text(row: Mapping[str, Any], name: str) -> bool:
    """Whether the row has a text there that is not empty."""
    return isinstance(row.get(name), str) and bool(row[name])


def _part(text: object) -> str:
    return quote(str(text), safe="")
