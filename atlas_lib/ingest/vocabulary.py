"""The words: how sheets and columns are called, which columns a table takes, what stands in for a missing one.

Names are compared folded (no case, spaces, accents, underscores) and through the aliases below: English trade names
and the German headers of the purchase workbook (DOMAIN.md, section 3).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from atlas_lib.core.tables import Column, declared

# How a column may be called besides its own name; `table:` lines give other names of the sheet or file.
_ALIASES = """
table contracts: contract, Verträge, Vertraege, purchases, Ankauf
contract_id: Vertragsnummer, Vertrag, Vertragsnr, contract number, contract no
merchant_id: Vertrieb_ID, Händler_ID, client id, seller id
merchant_name: Vertrieb_Name, Händlername, client name, seller name, Name
start_date: Beginn, Vertragsbeginn, start
term_months: Tilgdauer, Laufzeit, Laufzeit Monate, term, months, duration
premium: Prämie, Praemie, instalment, installment, Rate
receivable: Barzahlungspreis, Forderung, face value, receivables
valuation_sum: BWS, Bewertungssumme
purchase_rate: Kaufpreissatz
max_purchase_rate: max_Kaufpreissatz, maximum purchase rate
reserve_rate: Sicherheitensatz, Sicherheitssatz
customer_payment: Kundenzahlung_Brutto, Kundenzahlung
purchase_price: Kaufpreis
partner_margin: Marge_CY, Marge, margin
merchant_reserve: Sicherheitseinbehalt, client rr
merchant_payout: Broker_Payout, payout, Auszahlung
obligor_id: Debitor_ID, Debitor, Debitorennummer, account debtor, debtor id, debtor, Schuldner
contra: Gegenforderung, contra account, contra amount
currency: Währung, Waehrung, ccy, currency code

table customer_payments: customer payment, instalments paid, Kundenzahlungen, Zahlungseingänge
payment_id: Zahlungs_ID, Zahlungsnummer, receipt id
contract_id: Vertragsnummer, Vertrag, Vertragsnr, contract number, contract no
payment_date: Zahlungsdatum, paid on, received on, date
amount: Betrag, paid, amount paid
currency: Währung, Waehrung, ccy
reference: end_to_end_id, Referenz, Verwendungszweck

table merchants: merchant, clients, Händler, Haendler, Vertrieb
merchant_id: Vertrieb_ID, Händler_ID, client id, id
merchant_name: Vertrieb_Name, Händlername, client name, name
credit_limit: Kreditlimit, limit, Kreditrahmen
currency: Währung, Waehrung, ccy, limit currency
iban: Konto, bank account
bic: swift, bic code
country: Land, country code
town: Ort, Stadt, city
category: Branche, sector, industry, merchant category, mcc
risk_level: Risiko, Risikoklasse, risk, risk class
kyc_status: kyc
onboarding_date: onboarded, Aufnahmedatum, since
reserve_rate: Sicherheitensatz, rolling reserve rate
hold_days: Haltefrist, reserve days
delivery_days: Lieferfrist, Lieferzeit, Liefertage, days to delivery, delivery time, fulfilment days, fulfillment days
is_blocked: blocked, gesperrt
counterparty_id: counterparty, bank, processor

table transactions: transaction, payments, Transaktionen, Buchungen, tx
transaction_id: id, transaction, txn id, tx id, Transaktionsnummer
idempotency_key: idempotency, request id
merchant_id: Vertrieb_ID, Händler_ID, merchant, terminal id
user_id: user, customer id, Kunde, Kunden_ID
type: transaction type, Art, Typ
amount: Betrag, transaction amount
currency: source_currency, Währung, Waehrung, ccy
destination_currency: target currency, Zielwährung
source_account: from account, debit account, Quellkonto
destination_account: to account, credit account, Zielkonto
counterparty_id: counterparty, processor
settlement_window: window, Fenster
status: transaction status, state
created_at: created, timestamp, datetime, date, Zeitpunkt
reference: end_to_end_id, Referenz, Verwendungszweck

table statement_lines: statement, statements, bank lines, bank statement, Kontoauszug, Umsätze
statement_id: statement, statement number, Auszugsnummer
account: iban, Konto, Kontonummer, account number, account iban
line_id: line, entry id, ntry ref, sequence
transaction_id: our reference, txn id
end_to_end_id: end to end reference, e2e id, EndToEndId, Ende-zu-Ende-Referenz
booking_date: BookgDt, Buchungstag, Buchungsdatum, booked on, date
value_date: ValDt, Valuta, Wertstellung, Valutadatum
amount_posted: amount, Betrag, posted amount
fee_charged: fee, fees, Gebühr, charges
currency: Währung, Waehrung, ccy
credit_debit_indicator: CdtDbtInd, credit debit, debit credit, Soll Haben, cd
status: entry status, Sts
bank_reference: AcctSvcrRef, bank ref, Bankreferenz
remittance_text: remittance information, Ustrd, Verwendungszweck, description, purpose, text
counterparty_name: counterparty, payer name, Auftraggeber, Name, Begünstigter

table statement_balances: balances, statement balance, Salden
statement_id: statement, Auszugsnummer
account: iban, Konto, Kontonummer
balance_type: type, code
balance_date: date, Datum
balance: amount, Betrag, Saldo
currency: Währung, Waehrung, ccy

table fraud_signals: fraud, fraud scores, signals
fraud_signal_id: signal id, id
fraud_score: score
model_version: model
inferred_at: scored at, created at, timestamp

table policies: policy, rules, compliance
policy_id: id
policy_type: type
rule_description: description, rule
parameters: params, parameter
is_active: active, enabled, aktiv

table sanctions: sanction list, sanctions list, sanctioned, watchlist, Sanktionsliste
list_name: list, source list
listed_id: id, uid, ent num, entry, entry id, entity id
name: primary name, full name, listed name
alias: aka, alt name, alternative name
weak_aliases: weak aka, low quality aka
entity_type: type, sdn type
country: Land
programme: program, regime

table fraud_labels: labels, fraud cases, confirmed fraud
is_fraud: fraud, label, tx fraud
labelled_at: labeled at, reported at, confirmed at, known since

table counterparties: counterparty, banks, processors
counterparty_id: id
name: counterparty name
limit: exposure limit, counterparty limit, total limit, overall limit, Gesamtlimit
currency: Währung, ccy, limit currency, total limit currency
is_available: available, reachable
alternate_counterparty_id: alternate, alternate route

table counterparty_limits: counterparty limit, currency limits, limits by currency, limits per currency, Limite je Währung
counterparty_id: id, counterparty, bank, processor
currency: Währung, ccy, limit currency
currency_limit: limit, limit in currency, exposure limit, counterparty limit

table liquidity: cash, cash positions, Liquidität
currency: Währung, ccy
opening_balance: opening, balance, cash
minimum_balance: minimum, buffer

table fx_rates: fx, exchange rates, rates, eurofxref, Wechselkurse
date: Datum, day
currency: Währung, ccy
rate: kurs, exchange rate, rate per eur
"""

# What stands in for a cell that is not given: a value, `=` another column, `@file` the file's name, `@row` the
# source row, `@sign` CRDT or DBIT by the sign of the posted amount.
DEFAULTS: dict[str, dict[str, object]] = {
    "contracts": {"customer_payment": 0.0, "merchant_name": "=merchant_id"},
    "customer_payments": {},
    "merchants": {"merchant_name": "=merchant_id", "risk_level": "UNRATED", "kyc_status": "UNKNOWN", "is_blocked": False},
    "transactions": {"idempotency_key": "=transaction_id", "destination_currency": "=currency", "user_id": "", "counterparty_id": "", "settlement_window": "T2"},
    "statement_lines": {"statement_id": "@file", "line_id": "@row", "account": "=statement_id", "fee_charged": 0.0, "status": "BOOK", "credit_debit_indicator": "@sign"},
    "statement_balances": {"statement_id": "@file", "account": "=statement_id"},
    "fraud_signals": {"model_version": ""},
    "policies": {"rule_description": "", "parameters": "", "is_active": True},
    "sanctions": {"list_name": "@file", "listed_id": "=name", "alias": "=name"},
    "fraud_labels": {},
    "counterparties": {"name": "=counterparty_id", "is_available": True},
    "counterparty_limits": {},
    "liquidity": {"minimum_balance": 0.0},
    "fx_rates": {},
}  # fmt: skip
_WITHOUT_DEFAULT_CURRENCY = {"transactions", "fx_rates", "liquidity", "counterparty_limits"}
_NOT_FOLDED = re.compile("[^a-z0-9]")
_SOURCE = ("source_file", "source_sheet", "source_row")


@dataclass(frozen=True)
class Field:
    """One input column: the name it arrives under, the declared column it becomes, how it is read."""

    name: str
    column: Column
    kind: str
    default: object
    has_default: bool

    @property
    def is_required(self) -> bool:
        return not (self.column.nullable or self.has_default)


def fold(text: object) -> str:
    """`fold("Max. Kaufpreis-Satz ä") == "maxkaufpreissatza"`; ß becomes ss."""
    plain = str(text)
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return _NOT_FOLDED.sub("", plain.lower())


@lru_cache(maxsize=1)
def vocabulary() -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
    """Per table: folded names of the sheet; folded header to column name. A column's own name wins over aliases."""
    sheets: dict[str, list[str]] = {}
    headers: dict[str, dict[str, str]] = {}
    table = ""
    for line in filter(None, _ALIASES.splitlines()):
        name, _, words = line.partition(": ")
        aliases = [fold(w) for w in words.split(",")]
        if name.startswith("table "):
            table = name.removeprefix("table ")
            sheets[table], headers[table] = [fold(table), *aliases], {}
        else:
            headers[table].update({a: name for a in aliases if a not in headers[table]})
    for table, known in headers.items():
        known.update({fold(f.name): f.name for f in fields(table, "")})
    return sheets, headers


@lru_cache(maxsize=1)
def known_words() -> frozenset[str]:
    """Every folded word that names a column of some table."""
    return frozenset(word for known in vocabulary()[1].values() for word in known)


@lru_cache(maxsize=64)
def fields(table: str, default_currency: str) -> tuple[Field, ...]:
    """The input columns of a table, from its declaration; an amount arrives in units under its name without `_minor`."""
    defaults = dict(DEFAULTS[table])
    if table not in _WITHOUT_DEFAULT_CURRENCY:
        defaults["currency"] = default_currency
    made = []
    for column in declared(table).columns:
        if column.name in _SOURCE:
            continue
        name = column.name.removesuffix("_minor")
        made.append(Field(name, column, _kind(column), defaults.get(name), name in defaults))
    return tuple(made)


def _kind(column: Column) -> str:
    if column.name.endswith("_minor"):
        return "amount"
    if column.name == "fraud_score" or column.unit == "ratio":
        return "ratio"
    return {"float": "rate", "int": "whole", "string": "text"}.get(column.type, column.type)


def tables() -> list[str]:
    return list(DEFAULTS)
