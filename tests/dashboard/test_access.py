"""A merchant gets its own rows and none of the office's columns, whatever it asks for; enforced below any page."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from dataclasses import replace
from html import unescape
from urllib.parse import parse_qsl

import pandas as pd
import pytest

from atlas_lib.core.accounts import mask_text, masked_in_sql
from atlas_lib.core.errors import AtlasError, Refused, SettingsError
from atlas_lib.core.run import Run
from atlas_lib.core.settings import STAGES
from atlas_lib.dashboard.access import environment_of, viewer_of
from atlas_lib.dashboard.actions import desk_of
from atlas_lib.dashboard.listings import LISTINGS, SUMS, TRAIL_LISTINGS, listing_of
from atlas_lib.dashboard.requests import Answer, Asked, answer, decide_and_say, failure, read_file
from atlas_lib.dashboard.rows import Query, read_rows
from atlas_lib.reserves_credit.roles import Actor
from tests.reserves_credit.reserves_credit_frames import DEBTOR

pytestmark = pytest.mark.slow
OWN, OTHER = "310147", "310221"
MERT, OLGA, NOBODY = Actor("mert", "merchant", OWN), Actor("olga", "settlement_ops"), Actor("", "")
EVERY = [one for page in LISTINGS.values() for one in page] + list(TRAIL_LISTINGS.values())
SECRET = {"partner_margin_minor", "partner_payout_minor", "partner_rr_minor", "user_id", "iban", "bic", "risk_label", "reasons", "source_account", "destination_account"}  # fmt: skip


@pytest.fixture(scope="module")
def run(finished_run, tmp_path_factory) -> Run:
    copy = shutil.copytree(finished_run.directory.parent, tmp_path_factory.mktemp("access") / "runs")
    (copy / "latest").write_text(finished_run.run_id)
    return Run(copy / finished_run.run_id)


@pytest.fixture(autouse=True)
def here(run, monkeypatch):
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(run.directory.parent))


def ask(path: str, actor: Actor, **arguments: str) -> Answer:
    told = answer(Asked(path, {k.replace("__", "."): v for k, v in arguments.items()}, actor, {}))
    rest = b"".join(told.parts)
    return replace(told, body=told.body + rest) if isinstance(told.body, bytes) else told


@pytest.mark.parametrize("listing", EVERY, ids=lambda one: one.table)
def test_every_listing_can_be_read_and_a_merchant_reads_its_own_rows_of_it_or_nothing(run, listing):
    whole = read_rows(run, OLGA, listing, Query(size=0))
    assert whole.total == len(whole.frame) == run.manifest["tables"][listing.table]["rows"]
    for asked in (Query(size=0), Query(merchant=OTHER, size=0), Query(search=OTHER, size=0)):
        if not listing.own_shown:
            with pytest.raises(Refused):
                read_rows(run, MERT, listing, asked)
            continue
        ids = run.read(listing.table)[listing.merchant]
        found = read_rows(run, MERT, listing, asked)
        assert found.total <= (ids == OWN).sum() if not asked.merchant else found.total == 0
        assert not set(found.frame) & SECRET
        assert OTHER not in found.frame.to_csv()


def test_what_a_merchant_may_see_is_all_of_its_own(run):
    found = read_rows(run, MERT, listing_of("final_index"), Query(size=0)).frame
    index = run.read("final_index")
    assert sorted(found["transaction_id"]) == sorted(index.loc[index["merchant_id"] == OWN, "transaction_id"])
    accounts = read_rows(run, MERT, listing_of("subaccounts"), Query(size=0)).frame
    assert set(accounts["subaccount"]) & {"Factoring", "Partner", "Partner RR"} == set()
    assert len(accounts)


def test_no_page_tells_a_merchant_of_another(run):
    index, contracts = run.read("final_index"), run.read("contracts")
    foreign = index.loc[index["merchant_id"] == OTHER, "transaction_id"].iloc[0]
    contract = contracts.loc[contracts["merchant_id"] == OTHER, "contract_id"].iloc[0]
    names = set(run.read("merchant_kpis").query("merchant_id != @OWN")["merchant_name"]) - {""}
    pages = ["", f"merchant/{OTHER}", *(f"page/{s}" for s in LISTINGS), "export/final_index.csv"]
    for page in pages:
        told = ask(page, MERT, merchant=OTHER).body
        text = told.decode("utf-8") if isinstance(told, bytes) else told
        assert foreign not in text, page
        assert not [n for n in names if n in text], page
    for page in (
        f"transaction/{foreign}",
        f"contract/{contract}",
        "desk",
        "daily",
        "operations",
        "export/breaks.csv",
        "export/alerts.xlsx",
    ):
        with pytest.raises(Refused):
            ask(page, MERT)
    with pytest.raises(Refused):
        read_file(Asked("", {}, MERT, {}), run.run_id, "html", "index.html")
    with pytest.raises(Refused):
        read_file(Asked("", {}, MERT, {}), run.run_id, "exports", "02_reserves_credit.xlsx")


def test_an_own_transaction_is_followed_to_its_cell_and_an_unknown_one_looks_like_a_foreign_one(run):
    index = run.read("final_index").query("merchant_id == @OWN")
    own = index.iloc[0]
    page = str(ask(f"transaction/{own['transaction_id']}", OLGA).body)
    assert f"<strong>{own['source_file']}</strong>" in page
    assert f"row <strong>{own['source_row']}</strong>" in page
    assert "TRANSACTION_SUBMITTED" in page
    assert "idempotency" in page
    mine = str(ask(f"transaction/{own['transaction_id']}", MERT).body)
    assert "TRANSACTION_SUBMITTED" in mine
    assert "idempotency" not in mine
    errors = []
    for unknown in ("T-none", run.read("final_index").query("merchant_id == @OTHER")["transaction_id"].iloc[0]):
        with pytest.raises(Refused) as refused:
            ask(f"transaction/{unknown}", MERT)
        errors.append(str(refused.value).replace(unknown, ""))
    assert errors[0] == errors[1]


def test_a_person_without_a_role_sees_nothing_and_who_is_not_logged_in_sees_all_where_no_login_is():
    with pytest.raises(Refused):
        ask("", Actor("eve", ""))
    with pytest.raises(Refused):
        ask("page/05_reconciliation", Actor("eve", ""), only="breaks")
    assert "Needs a person" in str(ask("", NOBODY).body)


def test_only_the_header_of_this_request_names_a_person(tmp_path):
    people = tmp_path / "people.yaml"
    people.write_text("olga: settlement_ops\n", encoding="utf-8")
    server = {"ATLAS_LOGIN_HEADER": "X-User", "ATLAS_PEOPLE": str(people), "HTTP_X_USER": "olga", "ATLAS_ACTOR": "olga"}
    assert viewer_of("olga", server).role == "settlement_ops"
    assert environment_of("carl", server)["HTTP_X_USER"] == "carl"
    for name in ("", "carl"):
        with pytest.raises(Refused, match="knows no such person"):
            viewer_of(name, server)


def test_rows_are_filtered_sorted_and_paged_like_the_table_itself(run):
    listing, index = listing_of("final_index"), run.read("final_index")
    euros = index.query("currency == 'EUR' and reconciled_status == 'MATCHED'")
    whole = read_rows(
        run,
        OLGA,
        listing,
        Query(currency="EUR", chosen={"reconciled_status": "MATCHED"}, order="-amount_minor", size=0),
    )
    assert whole.total == len(euros)
    assert whole.frame["amount_minor"].tolist() == sorted(euros["amount_minor"], reverse=True)
    pages = [
        read_rows(
            run,
            OLGA,
            listing,
            Query(currency="EUR", chosen={"reconciled_status": "MATCHED"}, order="-amount_minor", page=n, size=25),
        ).frame
        for n in (1, 2, 3)
    ]
    assert pd.concat(pages)["transaction_id"].tolist() == whole.frame["transaction_id"].head(75).tolist()
    assert read_rows(run, OLGA, listing, Query(search=index["transaction_id"].iloc[7].lower())).total == 1
    severities = read_rows(run, OLGA, listing_of("breaks"), Query(size=0)).frame["severity"].tolist()
    assert severities == sorted(severities, key=["high", "medium", "low"].index)


@pytest.mark.parametrize("hostile", ['amount_minor" DESC; DROP TABLE x --', "user_id", "nope", "-"])
def test_a_column_that_the_page_does_not_show_cannot_be_asked_for(run, hostile):
    with pytest.raises(SettingsError):
        read_rows(run, OLGA, listing_of("final_index"), Query(order=hostile))
    with pytest.raises(SettingsError):
        read_rows(run, OLGA, listing_of("final_index"), Query(chosen={hostile: "1"}))


def test_an_export_has_all_rows_that_fit_in_units_and_totals_as_formulas(run):
    import openpyxl

    breaks = run.read("breaks").query("severity == 'high'")
    told = ask("export/breaks.csv", OLGA, breaks__severity="high").body
    table = pd.read_csv(io.BytesIO(told), dtype=str, keep_default_na=False)
    assert len(table) == len(breaks)
    amounts = dict(zip(breaks["break_id"], zip(breaks["amount_minor"], breaks["currency"], strict=True), strict=True))
    for row in table.itertuples():
        minor, code = amounts[row.break_id]
        digits = 0 if code == "JPY" else 2
        assert row.amount_minor == f"{minor / 10**digits:.{digits}f}"
    book = openpyxl.load_workbook(io.BytesIO(ask("export/contracts.xlsx", OLGA, currency="EUR").body))
    assert book.sheetnames == ["Cover", "Contracts"]
    assert "currency = EUR" in [c.value for c in book["Cover"]["B"]]
    last = [c.value for c in book["Contracts"][book["Contracts"].max_row]]
    assert [v for v in last if isinstance(v, str) and v.startswith("=SUM(")]


@pytest.mark.parametrize("listing", EVERY, ids=lambda one: one.table)
def test_every_listing_can_be_exported_also_when_no_row_fits(listing):
    for arguments in ({}, {f"{listing.table}__q": "no such text"}):
        assert zipfile.is_zipfile(io.BytesIO(ask(f"export/{listing.table}.xlsx", OLGA, **arguments).body))
        assert ask(f"export/{listing.table}.csv", OLGA, **arguments).body.startswith(
            listing.shown[0].encode("utf-8-sig")
        )


def test_the_exports_of_a_merchant_page_hold_that_merchant_alone():
    page = str(ask(f"merchant/{OWN}", OLGA).body)
    link = re.search(r'href="/export/final_index\.csv\?([^"]+)"', page)
    assert link is not None
    told = ask("export/final_index.csv", OLGA, **dict(parse_qsl(unescape(link[1])))).body
    assert set(pd.read_csv(io.BytesIO(told), dtype=str)["merchant_id"]) == {OWN}
    assert str(ask(f"merchant/{OWN}", OLGA, merchant=OTHER).body) == str(
        ask(f"merchant/{OTHER}", OLGA, merchant=OTHER).body
    )


def test_sums_name_columns_that_are_listed():
    assert {
        t: set(c.split()) - set(listing_of(t).shown)
        for t, c in SUMS.items()
        if set(c.split()) - set(listing_of(t).shown)
    } == {}


def test_a_text_that_looks_like_a_formula_is_text_in_a_csv_and_every_value_is_read_back_as_it_was():
    import duckdb

    from atlas_lib.dashboard.exports import csv_line

    columns = {"name": "string", "amount_minor": "int", "paid_minor": "int", "made_at": "instant", "rate": "float"}
    rows = """SELECT * FROM (VALUES
        ('=1+1', -5, NULL, 'EUR', TIMESTAMPTZ '2026-10-05 12:00:00+00', 0.1::DOUBLE), ('-x', 5, -7, 'JPY', NULL, NULL),
        ('a "b", c', 0, 1, 'KWD', NULL, 1e-7), (NULL, 123456, -100, 'EUR', NULL, 2),
        ('two' || chr(10) || 'lines', 9007199254740993, -9, 'EUR', NULL, NULL)
        ) AS given(name, amount_minor, paid_minor, currency, made_at, rate)"""
    lines = duckdb.sql(rows).project(f"{csv_line(list(columns), columns)} AS line")
    told = "".join(row[0] for row in lines.fetchall())
    assert told.split("\r\n") == [
        "'=1+1,-0.05,,2026-10-05 12:00:00+00:00,0.1",
        "'-x,5,-7,,",
        '"a ""b"", c",0.000,0.001,,1e-07',
        ",1234.56,-1.00,,2.0",
        '"two\nlines",90071992547409.93,-0.09,,',
        "",
    ]


def test_a_forbidden_decision_is_refused_below_the_page_and_leaves_nothing(run, tmp_path):
    people = tmp_path / "people.yaml"
    people.write_text(f"rita: risk_analyst\nmert: {{role: merchant, merchant_id: '{OWN}'}}\n", encoding="utf-8")
    for name in ("rita", "mert"):
        environment = {"ATLAS_PEOPLE": str(people), "ATLAS_ACTOR": name}
        asked = Asked("desk", {}, viewer_of("", environment), environment)
        with desk_of(run, {}) as desk:
            ready = desk.payouts().query("status == 'Ready'").iloc[0]
        tone, text = decide_and_say(asked, "prepare", [f"{ready['payout_id']} {ready['merchant_id']}"], "")
        assert (tone, "You may not" in text) == ("bad", True)
    with desk_of(run, {}) as desk:
        assert desk.orders().empty


def test_an_error_of_ours_is_a_sentence_and_any_other_tells_nothing():
    told = failure(Refused("You may not", found="<b>x</b>"), 500, "/")
    assert (told.status, "&lt;b&gt;" in str(told.body)) == (403, True)
    other = failure(ValueError("secret path"), 500, "/")
    assert (other.status, "secret" in str(other.body)) == (500, False)


def test_files_of_a_run_are_its_reports_and_exports_and_nothing_beside_them(run):
    page = read_file(Asked("", {}, OLGA, {}), run.run_id, "html", "index.html")
    assert b"Settlement run" in page.body
    assert zipfile.is_zipfile(
        io.BytesIO(read_file(Asked("", {}, OLGA, {}), run.run_id, "exports", "03_portfolio.xlsx").body)
    )
    for folder, name in (("html", "../manifest.json"), ("html", "none.html"), ("exports", "..")):
        with pytest.raises(AtlasError):
            read_file(Asked("", {}, OLGA, {}), run.run_id, folder, name)
    with pytest.raises(AtlasError):
        ask("", OLGA, run="../elsewhere")


def test_a_run_that_stopped_says_why_on_the_front_page(run, tmp_path, monkeypatch):
    from atlas_lib.present.summary import write_summary

    stopped = shutil.copytree(run.directory, tmp_path / run.run_id)
    (tmp_path / "latest").write_text(run.run_id)
    manifest = json.loads((stopped / "manifest.json").read_text())
    del manifest["stages"]["05_reconciliation"]
    (stopped / "manifest.json").write_text(json.dumps(manifest))
    write_summary(Run(stopped), failure="05_reconciliation stopped: a statement <is> cut off.")
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(tmp_path))
    page = str(ask("", OLGA).body)
    assert 'role="alert">05_reconciliation stopped: a statement &lt;is&gt; cut off.' in page
    assert ask("page/05_reconciliation", OLGA).status == 200


def test_the_front_page_names_what_waits_and_what_changed(run):
    from atlas_lib.dashboard.front import change_of, tasks_of

    with desk_of(run, {}) as desk:
        tasks = {t.text: t.count for t in tasks_of(run, desk.payouts(), desk.orders())}
    breaks = run.read("breaks").query("is_open and severity == 'high'")
    assert tasks["open breaks of high severity"] == len(breaks)
    assert tasks["limit breach"] == int((run.read("exposures")["level"] == "breach").sum())
    assert tasks["payouts ready to be prepared"] == int((run.read("payouts")["status"] == "Ready").sum())
    untold = [c["check"] for s in run.manifest["stages"].values() for c in s["checks"] if c["passed"] is None]
    assert untold
    assert not [text for text in tasks if any(check in text for check in untold)]
    assert [change_of(*pair) for pair in (("1,204.50 EUR", "1,192.00 EUR"), ("3", "5"), ("4 of 4", "3 of 4"), ("1", "1"), ("1 EUR", "1 USD"), ("1", None))] == ["+12.50 EUR", "-2", "was 3 of 4", "unchanged", "was 1 USD", ""]  # fmt: skip
    page = str(ask("", OLGA).body)
    for text, count in tasks.items():
        assert f"<strong>{count}</strong> {text}" in page
    manifest = json.loads((run.directory / "manifest.json").read_text())
    assert all(f["value"] in page for s in manifest["stages"].values() for f in s["figures"] if "&" not in f["value"])


RITA, ACCOUNT = Actor("rita", "risk_analyst"), re.compile(r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b")


def text_of(told: Answer) -> str:
    return told.body.decode("utf-8") if isinstance(told.body, bytes) else told.body


@pytest.mark.parametrize("actor", [RITA, NOBODY], ids=["risk_analyst", "nobody"])
def test_account_numbers_are_in_full_for_those_who_may_see_them_only(run, actor):
    ours, wrong = set(run.read("bridges")["account"]), set(run.read("rejects").query("column == 'iban'")["value"])
    assert ours
    assert wrong
    pages = ("", "page/01_ingest", "page/02_reserves_credit", "page/05_reconciliation", "export/rejects.csv", "export/bridges.csv")  # fmt: skip
    for page in pages:
        assert ACCOUNT.findall(text_of(ask(page, actor, rejects__size="100"))) == [], page
    assert ours <= set(ACCOUNT.findall(text_of(ask("export/bridges.csv", OLGA))))
    for number in ours | wrong:
        table = "bridges" if number in ours else "rejects"
        assert read_rows(run, OLGA, listing_of(table), Query(search=number)).total
        assert read_rows(run, actor, listing_of(table), Query(search=number)).total == 0  # nor guessed by searching
        assert read_rows(run, actor, listing_of(table), Query(search=number[-4:])).total
    for name in ("index", "01_ingest", "02_reserves_credit", "05_reconciliation"):
        whole = text_of(read_file(Asked("", {}, OLGA, {}), run.run_id, "html", f"{name}.html"))
        masked = text_of(read_file(Asked("", {}, actor, {}), run.run_id, "html", f"{name}.html"))
        assert not [n for n in ours | wrong if n in masked]
        assert [n for n in ours | wrong if n in whole] or name == "index"
    with pytest.raises(Refused):
        read_file(Asked("", {}, actor, {}), run.run_id, "exports", "02_reserves_credit.xlsx")


_ON_CUSTOMERS = ("customers", "compliance", "fraud", "page/01_ingest", "export/spend_profiles.csv", "export/screening_findings.csv", "export/fraud_alerts.csv")  # fmt: skip


def test_customers_are_named_to_whom_it_is_allowed_and_masked_for_all_others(run):
    ids = set(run.read("transactions")["user_id"].dropna()) - {""}
    for path in _ON_CUSTOMERS:
        asked = {} if path.startswith("export") else {"customers": {"spend_profiles.size": "100"}}.get(path, {})
        for actor in (OLGA, NOBODY):
            body = body_of(path, actor, asked)
            assert not [one for one in ids if one in body], path
            assert "user-" in body, path
        known = body_of(path, Actor("rita", "risk_analyst"), asked)
        assert [one for one in ids if one in known], path
        assert "user-" not in known, path
    with pytest.raises(Refused):
        ask("customers", MERT)


def body_of(path: str, actor: Actor, asked: dict[str, str]) -> str:
    told = answer(Asked(path, asked, actor, {}))
    rest = b"".join(told.parts)
    return (told.body.decode() if isinstance(told.body, bytes) else told.body) + rest.decode()


def test_a_mask_leads_to_what_is_known_of_the_customer():
    page = unescape(str(ask("fraud", OLGA).body))
    (address, mask) = re.search(r'href="([^"]*customers[^"]*)"[^>]*>(user-[0-9a-f]{12})', page).groups()
    query = dict(parse_qsl(address.partition("?")[2].partition("#")[0]))
    profile = str(answer(Asked("customers", query, OLGA, {})).body)
    assert query["spend_profiles.q"] == mask
    assert mask in profile.split('id="spend_profiles"')[1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("found DE87990000000007310334.", "found DE** **** 0334."),
        ("DE87 9900 0000 0007 3103 34", "DE** **** 34"),
        ("at 264:AT509900000007310111,x", "at 264:AT** **** 0111,x"),
        ("cell AO43 was found to be empty", "cell AO43 was found to be empty"),
        ("in small letters: at509900000007310111", "in small letters: at** **** 0111"),
        ("at509900000007310111", "at** **** 0111"),
        ("camt053-at509900000007310111.xml", "camt053-at** **** 0111.xml"),
        ("batch B-af20d3cb5e9c01d2c695", "batch B-af20d3cb5e9c01d2c695"),
    ],
)
def test_account_numbers_are_found_in_texts_by_page_and_query_alike(text, shown):
    import duckdb

    assert mask_text(text) == shown
    found = duckdb.execute(f"SELECT {masked_in_sql('t')} FROM (SELECT ? AS t)", [text]).fetchall()  # noqa: S608
    assert found == [(shown,)]


def test_a_merchant_gets_the_latest_run_and_nothing_of_the_whole_book(run, tmp_path, monkeypatch):
    shutil.copytree(run.directory, tmp_path / run.run_id)
    shutil.copytree(run.directory, tmp_path / "2020-01-01-older")
    (tmp_path / "latest").write_text(run.run_id)
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(tmp_path))
    assert ask("", OLGA, run="2020-01-01-older").status == 200
    with pytest.raises(AtlasError, match="no such run"):
        ask("", MERT, run="2020-01-01-older")
    page = text_of(ask("", MERT))
    assert "older" not in page
    assert not [i["path"] for i in run.manifest["inputs"] if i["path"] in page]
    offered = set(
        re.findall(r">([A-Z]{3})</option>", page.partition('<select name="currency">')[2].partition("</select>")[0])
    )
    assert offered == set(run.read("final_index").query("merchant_id == @OWN")["currency"]) | set(
        run.read("contracts").query("merchant_id == @OWN")["currency"]
    )


def test_a_merchant_cannot_tell_a_payment_put_off_from_one_that_waits(run):
    index = run.read("final_index").query("settlement_status == 'Deferred'")
    other = Actor("m", "merchant", index["merchant_id"].iloc[0])
    listing = listing_of("final_index")
    shown = read_rows(run, other, listing, Query(size=0)).frame["settlement_status"]
    assert "Deferred" not in set(shown)
    assert read_rows(run, other, listing, Query(chosen={"settlement_status": "Deferred"})).total == 0
    assert read_rows(run, OLGA, listing, Query(chosen={"settlement_status": "Deferred"})).total == len(index)
    assert "Deferred" not in text_of(ask("", other))


def test_a_run_without_payouts_has_an_empty_desk(run, tmp_path, monkeypatch):
    bare = shutil.copytree(run.directory, tmp_path / run.run_id)
    (tmp_path / "latest").write_text(run.run_id)
    manifest = json.loads((bare / "manifest.json").read_text())
    del manifest["tables"]["payouts"]
    (bare / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(tmp_path))
    assert "No payouts." in text_of(ask("desk", OLGA, merchant=OWN, currency="EUR"))
    told = answer(Asked("desk", {}, OLGA, {}), ("approve", ["PAY-1 0"], ""))
    assert "no longer there" in text_of(told)


def test_a_page_beyond_the_last_is_the_last(run):
    total = len(run.read("final_index"))
    page = text_of(ask("page/05_reconciliation", OLGA, only="final_index", final_index__page="9999"))
    assert f"to {total:,} of {total:,}" in page
    assert "Previous" in page
    assert ">Next<" not in page


def test_a_long_export_comes_in_parts_one_at_a_time_and_no_workbook_is_made_of_it(run, monkeypatch):
    from atlas_lib.dashboard import downloads, exports

    monkeypatch.setattr(downloads, "PART_ROWS", 100)
    monkeypatch.setattr(downloads, "EXCEL_ROWS", 100)
    monkeypatch.setattr(exports, "_WAIT_SECONDS", 0.01)
    asked = Asked("export/final_index.csv", {}, OLGA, {})
    under_way = answer(asked)
    some = next(under_way.parts)
    assert under_way.body == ",".join(listing_of("final_index").shown).encode("utf-8-sig") + b"\r\n"
    assert some.count(b"\r\n") == 100
    for path in ("export/final_index.csv", "export/contracts.xlsx"):
        with pytest.raises(Refused, match="Another export"):
            ask(path, OLGA)
    under_way.parts.close()  # the reader went away
    assert len(text_of(ask("export/final_index.csv", OLGA)).splitlines()) == len(run.read("final_index")) + 1
    with pytest.raises(SettingsError, match="take CSV"):
        ask("export/final_index.xlsx", OLGA)


def test_whoever_approves_sees_whom_the_file_pays_and_how_much(run, tmp_path, monkeypatch):
    folder = shutil.copytree(run.directory.parent, tmp_path / "runs")
    monkeypatch.setenv("ATLAS_RUNS_DIR", str(folder))
    manifest = json.loads((folder / run.run_id / "manifest.json").read_text())
    manifest["settings"]["02_reserves_credit"] |= DEBTOR
    (folder / run.run_id / "manifest.json").write_text(json.dumps(manifest))
    people = folder / "people.yaml"
    people.write_text("olga: settlement_ops\ncarl: credit_manager\n", encoding="utf-8")
    olga = {"ATLAS_PEOPLE": str(people), "ATLAS_ACTOR": "olga"}
    with desk_of(Run(folder / run.run_id), olga) as desk:
        ready = desk.payouts().query("status == 'Ready' and currency == 'EUR'").head(2)
        payment = desk.prepare(ready["payout_id"])[0]
        sha256 = desk.orders().set_index("payment_id").loc[payment, "sha256"]
    carl = Asked("desk", {}, Actor("carl", "credit_manager"), olga | {"ATLAS_ACTOR": "carl"})
    assert f'href="/payment/{payment}"' in text_of(answer(carl))
    total = f"{ready['amount_minor'].sum() / 100:,.2f} EUR"
    confirmed = text_of(answer(carl, ("approve", [f"{payment} {sha256}"], "")))
    page = text_of(answer(replace(carl, path=f"payment/{payment}")))
    for shown in (confirmed, page):
        assert f"2 payouts to 2 payees: {total}" in shown
        assert sha256 in unescape(shown)
        for one in ready.itertuples():
            assert one.merchant_name in unescape(shown)
            assert f"{one.amount_minor / 100:,.2f}" in shown
            assert one.iban not in shown  # a credit manager sees no account number in full
            assert one.iban[-4:] in shown
    assert total in text_of(answer(carl, ("block", [f"{p} m" for p in ready["payout_id"]], "")))
    for actor in (MERT, Actor("eve", "")):
        with pytest.raises(Refused):
            ask(f"payment/{payment}", actor)
    with pytest.raises(Refused, match="no such payment file"):
        ask("payment/PAY-none", OLGA)


def test_the_operations_page_says_how_store_commit_service_runs_and_stages_are(run):
    told = str(ask("operations", OLGA).body)
    assert "local store, no replication" in told
    assert f"{run.run_id}</a>" in told
    assert all(f">{stage}<" in told for stage in STAGES)
    assert told.count(">ok<") == 2
