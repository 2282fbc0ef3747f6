"""Who may see and do what: one table, asked by every action of the room and by no widget.

Who acts comes from the login header that a proxy sets, or from the environment; never from a text box:

| variable | meaning |
|---|---|
| ATLAS_LOGIN_HEADER | header in which the proxy in front of the dashboard names the person; then nothing else names one |
| ATLAS_ACTOR | the person, where no header is configured |
| ATLAS_PEOPLE | YAML file: person to role, or to `{role: merchant, merchant_id: M-1}` |
| ATLAS_ROLE | role of ATLAS_ACTOR where there is no such file |
| ATLAS_FOUR_EYES_AMOUNT | highest four-eyes amount in EUR, whatever a run's settings say: who makes runs cannot raise it |

Without any of them nobody is known: figures can be read, nothing can be done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from atlas_lib.core.errors import Refused, SettingsError
from atlas_lib.core.run import Run
from atlas_lib.core.settings import ReservesCreditSettings

ROLES = ("settlement_ops", "risk_analyst", "credit_manager", "finance_controller", "auditor", "merchant")
_OFFICE = ROLES[:-1]
PERMISSIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "see_book": ("see payouts, reserves and exposure of all merchants", _OFFICE),
    "see_own": ("see the rows of one's own merchant", ("merchant",)),
    "see_bank_details": (
        "see account numbers in full",
        ("settlement_ops", "finance_controller", "auditor", "merchant"),
    ),
    "see_customers": ("see customers' ids, not masks of them", ("risk_analyst", "auditor")),
    "prepare": ("put payouts into a payment file", ("settlement_ops",)),
    "withdraw": ("take a prepared or approved payment file back", ("settlement_ops",)),
    "approve_small": (
        "approve a payment file below the four-eyes amount",
        ("settlement_ops", "credit_manager", "finance_controller"),
    ),
    "approve": ("approve any payment file that another person prepared", ("credit_manager", "finance_controller")),
    "refuse": ("refuse a payment file", ("credit_manager", "finance_controller")),
    "request": ("hand an approved payment file to the bank", ("settlement_ops",)),
    "read_replies": ("book what the bank answered", ("settlement_ops", "finance_controller")),
    "block": ("stop the payouts of a merchant", ("risk_analyst", "credit_manager")),
    "unblock": ("let the payouts of a merchant go on", ("credit_manager",)),
    "decide_move": (
        "accept or reject that a contract paid to one merchant comes under another",
        ("credit_manager", "finance_controller"),
    ),
    "set_policy": ("set a merchant's reserve policy", ("credit_manager",)),
    "match": ("match bank lines by hand, or undo a match", ("settlement_ops", "finance_controller")),
    "dispute": ("dispute a break, or ask for another look", ("settlement_ops", "finance_controller")),
    "write_off": ("write a break off", ("finance_controller",)),
    "judge_fraud": ("say whether a fraud alert was fraud, or escalate it", ("risk_analyst", "credit_manager")),
}
_SEEING = tuple(action for action in PERMISSIONS if action.startswith("see_"))
_NOBODY = "nobody"
_TOLD, _REVIEW = (
    ("NON_POSITIVE_PAYOUT", "INVALID_IBAN", "KYC_INCOMPLETE", "NO_BANK_DETAILS", "KYC_UNKNOWN"),
    "UNDER_REVIEW",
)
_OFFICE_COLUMNS = (
    "by", "said", "prepared_by", "approved_by", "decided_by", "sha256", "journal_sha256", "approved_sha256",
    "approved_journal_sha256", "staged", "stops", "stands_against", "payee", "former_id",
)  # fmt: skip


@dataclass(frozen=True)
class Actor:
    """A person with a role; a merchant's person also has the merchant. In a trial (`trial_of`: its run) nobody decides."""

    name: str
    role: str
    merchant_id: str = ""
    trial_of: str = ""

    @property
    def is_known(self) -> bool:
        return bool(self.name) and self.role in ROLES


_NOBODY_KNOWN = Actor("", "")


def identify(environment: Mapping[str, str]) -> Actor:
    """The person that the environment names (see the table above).

    Raises SettingsError for an unreadable or wrong people file, Refused when the proxy names nobody we know.
    """
    header = environment.get("ATLAS_LOGIN_HEADER", "")
    people = _read_people(environment.get("ATLAS_PEOPLE", ""))
    if header:
        name = environment.get("HTTP_" + header.upper().replace("-", "_"), "")
        if name not in people:
            raise Refused(
                "This page knows no such person", where=f"login header {header}", found=name or "no name",
                expected="a person listed in the file that ATLAS_PEOPLE names", remedy="ask for a role",
            )  # fmt: skip
        return people[name]
    name = environment.get("ATLAS_ACTOR", "")
    if people:
        return people.get(name, Actor(name, ""))
    return _checked(Actor(name, environment.get("ATLAS_ROLE", "")), "ATLAS_ROLE")


def at_run(actor: Actor, run: Run) -> Actor:
    """The person before this run: before a trial, one who may see what their role sees and decide nothing."""
    return replace(actor, trial_of=run.opened_as) if run.is_trial and actor.is_known else actor


def bound_four_eyes(settings: ReservesCreditSettings, environment: Mapping[str, str]) -> ReservesCreditSettings:
    """The settings with four_eyes_amount at most ATLAS_FOUR_EYES_AMOUNT; SettingsError when that is no amount."""
    text = environment.get("ATLAS_FOUR_EYES_AMOUNT", "")
    if not text:
        return settings
    if not re.fullmatch(r"\d+(\.\d{1,2})?", text):
        raise SettingsError(
            "The highest four-eyes amount is no amount", where="ATLAS_FOUR_EYES_AMOUNT", expected="10000 or 10000.00",
            found=text,
        )  # fmt: skip
    return settings.model_copy(update={"four_eyes_amount": min(settings.four_eyes_amount, float(text))})


def admit(environment: Mapping[str, str]) -> str:
    """A line that says who is at the desk; Refused for a person who may not see all merchants.

    Where no login is configured, the reader is whoever may read the files.
    """
    actor = identify(environment)
    if actor != _NOBODY_KNOWN:
        require(actor, "see_book")
        return f"You are {actor.name}, {actor.role.replace('_', ' ')}."
    return "Nobody is logged in: everything can be read, nothing can be decided."


def may(actor: Actor, action: str) -> bool:
    """Whether the table allows the action to the person."""
    return actor.is_known and actor.role in PERMISSIONS[action][1] and (not actor.trial_of or action in _SEEING)


def require(actor: Actor, action: str) -> None:
    """Refused, with who may, unless the table allows the action to the person."""
    if not may(actor, action):
        meaning, roles = PERMISSIONS[action]
        if actor.trial_of and actor.role in roles:
            raise Refused(
                "Nothing is decided in a trial", found="a setting was changed in a notebook",
                expected=f"the run {actor.trial_of}", remedy="write the setting into settings.yaml, run again and decide there",
            )  # fmt: skip
        raise Refused(
            f"You may not {meaning}",
            found=f"{actor.name or _NOBODY} as {actor.role or 'no role'}",
            expected=" or ".join(roles),
            remedy="ask a person with that role",
        )


def visible(actor: Actor, table: pd.DataFrame) -> pd.DataFrame:
    """What the person may see of a table: own rows for a merchant, account numbers masked for most.

    A merchant sees of the reasons those it can do something about; any other is UNDER_REVIEW, because nobody may be
    told of a suspicion against them (Directive (EU) 2015/849, article 39), and nothing of who decided what in the office.

    Where no person is known at all (no login is configured) the reader is whoever may read the files: all rows, masked.
    """
    if actor.role == "merchant" or not (may(actor, "see_book") or actor == _NOBODY_KNOWN):
        own = table["merchant_id"] == actor.merchant_id if "merchant_id" in table and actor.merchant_id else False
        table = _without_office(table[pd.Series(own, index=table.index, dtype="bool")].reset_index(drop=True))
    if "iban" in table and not may(actor, "see_bank_details"):
        table = table.assign(iban=mask_iban(table["iban"]))
    return table


def _without_office(table: pd.DataFrame) -> pd.DataFrame:
    hidden = {c: "" for c in _OFFICE_COLUMNS if c in table}
    reasons = {c: table[c].map(_outside_reasons).astype("str") for c in ("reasons", "remarks") if c in table}
    return table.assign(**hidden, **reasons)


def _outside_reasons(codes: str) -> str:
    told = [c if c in _TOLD else _REVIEW for c in codes.split("; ") if c]
    return "; ".join(dict.fromkeys(told))


def mask_iban(iban: pd.Series) -> pd.Series:
    """Country and the last four characters: `DE** **** 0334`; an empty one stays empty."""
    text = iban.astype("str")
    return (text.str[:2] + "** **** " + text.str[-4:]).where(iban.notna(), iban)


def _read_people(path: str) -> dict[str, Actor]:
    import yaml

    if not path:
        return {}
    try:
        listed = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError("The list of people cannot be read", where=path, found=str(error)) from error
    if not isinstance(listed, dict):
        raise SettingsError("The list of people is no mapping", where=path, expected="lines of `person: role`")
    return {str(name): _person(str(name), entry, path) for name, entry in listed.items()}


def _person(name: str, entry: object, path: str) -> Actor:
    fields = entry if isinstance(entry, dict) else {"role": entry}
    actor = _checked(Actor(name, str(fields.get("role", "")), str(fields.get("merchant_id", ""))), path)
    if (actor.role == "merchant") != bool(actor.merchant_id):
        raise SettingsError(
            "A merchant's person needs the merchant, and nobody else has one", where=f"{path}, {name}",
            expected="{role: merchant, merchant_id: M-1}", found=str(entry),
        )  # fmt: skip
    return actor


def _checked(actor: Actor, where: str) -> Actor:
    if actor.role and actor.role not in ROLES:
        raise SettingsError("No such role", where=where, expected=", ".join(ROLES), found=actor.role)
    return actor
