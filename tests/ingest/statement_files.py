"""The same statement written in every format: what a reader gives back must be what went in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One booked line; `cents` above 0."""

    cents: int
    is_credit: bool
    day: int
    text: str

    @property
    def signed(self) -> int:
        return self.cents if self.is_credit else -self.cents

    @property
    def date(self) -> str:
        return f"2026-10-{self.day:02}"


def units(cents: int, mark: str = ".") -> str:
    sign, digits = ("-" if cents < 0 else ""), f"{abs(cents):03}"
    return f"{sign}{digits[:-2]}{mark}{digits[-2:]}"


def closing(opening: int, entries: list[Entry]) -> int:
    return opening + sum(e.signed for e in entries)


def as_mt940(opening: int, entries: list[Entry]) -> str:
    def balance(tag: str, cents: int) -> str:
        return f":{tag}:{'D' if cents < 0 else 'C'}261001EUR{units(abs(cents), ',')}"

    lines = [
        f":61:2610{e.day:02}10{e.day:02}{'C' if e.is_credit else 'D'}{units(e.cents, ',')}NTRFREF\n:86:{e.text}"
        for e in entries
    ]
    ends = [balance("60F", opening), *lines, balance("62F", closing(opening, entries)), "-"]
    return "\n".join([":20:R", ":25:DE1", ":28C:1/1", *ends]) + "\n"


def as_ofx(opening: int, entries: list[Entry]) -> str:
    def line(e: Entry) -> str:
        sign = "" if e.is_credit else "-"
        return f"<STMTTRN><TRNTYPE>OTHER<DTPOSTED>202610{e.day:02}<TRNAMT>{sign}{units(e.cents)}<FITID>F<MEMO>{e.text}</STMTTRN>\n"

    body = "".join(map(line, entries))
    ledger = f"<LEDGERBAL><BALAMT>{units(closing(opening, entries))}<DTASOF>20261031</LEDGERBAL>"
    account = "<CURDEF>EUR<BANKACCTFROM><BANKID>1<ACCTID>DE1<ACCTTYPE>CHECKING</BANKACCTFROM>"
    listed = f"<BANKTRANLIST><DTSTART>20261001<DTEND>20261031\n{body}</BANKTRANLIST>"
    return f"OFXHEADER:100\nDATA:OFXSGML\n\n<OFX><STMTRS>{account}{listed}{ledger}</STMTRS></OFX>"


def as_bai2(opening: int, entries: list[Entry]) -> str:
    end = closing(opening, entries)
    lines = [f"16,{'195' if e.is_credit else '475'},{e.cents},V,2610{e.day:02},,B,C,{e.text}/" for e in entries]
    total = opening + end + sum(e.cents for e in entries)
    count = len(entries)
    head = ["01,B,C,261003,0600,1,,,2/", "02,C,B,1,261002,2359,EUR,2/", f"03,DE1,,010,{opening},,,015,{end},,/"]
    tail = [f"49,{total},{count + 2}/", f"98,{total},1,{count + 4}/", f"99,{total},1,{count + 6}/"]
    return "\n".join([*head, *lines, *tail]) + "\n"


def as_camt(opening: int, entries: list[Entry]) -> str:
    def side(cents: int) -> str:
        return f'<Amt Ccy="EUR">{units(abs(cents))}</Amt><CdtDbtInd>{"CRDT" if cents >= 0 else "DBIT"}</CdtDbtInd>'

    def balance(code: str, cents: int) -> str:
        return f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{side(cents)}<Dt><Dt>2026-10-31</Dt></Dt></Bal>"

    def line(e: Entry) -> str:
        text = f"<NtryDtls><TxDtls><RmtInf><Ustrd>{e.text}</Ustrd></RmtInf></TxDtls></NtryDtls>"
        return f"<Ntry>{side(e.signed)}<Sts>BOOK</Sts><BookgDt><Dt>{e.date}</Dt></BookgDt>{text}</Ntry>\n"

    body = balance("OPBD", opening) + balance("CLBD", closing(opening, entries)) + "".join(map(line, entries))
    head = '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><Stmt><Id>S</Id><Acct><Id><IBAN>DE1</IBAN></Id></Acct>'
    return f"{head}{body}</Stmt></BkToCstmrStmt></Document>"


def as_export(opening: int, entries: list[Entry]) -> str:
    """A bank's CSV with a running balance, by the layout of Rabobank."""
    rows, level = [], opening
    for number, e in enumerate(entries):
        level += e.signed
        rows.append(
            f'"NL1","EUR","{number}","{e.date}","{e.date}","{units(e.signed, ",")}","{units(level, ",")}","","{e.text}"'
        )
    head = (
        '"IBAN/BBAN","Munt","Volgnr","Datum","Rentedatum","Bedrag","Saldo na trn","Naam tegenpartij","Omschrijving-1"'
    )
    return "\n".join([head, *rows]) + "\n"


FORMATS = {
    "s.sta": as_mt940, "s.ofx": as_ofx, "s.bai": as_bai2, "s.xml": as_camt, "s.csv": as_export,
}  # fmt: skip
