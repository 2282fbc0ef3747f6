"""Files are told by their content; what is too large, a bomb or damaged is refused before it is read."""

from __future__ import annotations

import io
import struct
import time
import zipfile
from datetime import date

import openpyxl
import pytest

from atlas_lib.core.errors import InputError
from atlas_lib.ingest import read_inputs
from atlas_lib.ingest.inputs import file_kind

MT940 = ":20:R\n:25:A1\n:28C:1\n:60F:C261001EUR0,\n:61:2610021002C1,00NTRFA\n:62F:C261002EUR1,00\n-\n"


@pytest.mark.parametrize(
    ("start", "suffix", "kind"),
    [
        (b"PK\x03\x04...[Content_Types].xml", ".bin", "workbook"),
        (b"PK\x03\x04...[Content_Types].xml", ".zip", "zip"),
        (b"PK\x03\x04...a.csv", "", "zip"),
        (b"\xd0\xcf\x11\xe0", ".dat", "workbook"),
        (b"PAR1", ".csv", "parquet"),
        (b"OFXHEADER:100\n", ".txt", "ofx"),
        (b"<?xml version='1.0'?><?OFX OFXHEADER='200'?><OFX>", ".xml", "ofx"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Document/>", ".txt", "xml"),
        ("<Document/>".encode("utf-16"), "", "xml"),
        (MT940.encode(), ".asc", "mt940"),
        (b":62F:C261002EUR1,00", ".940", "mt940"),
        (b"01,A,B,261003,0600,1,,,2/", ".txt", "bai2"),
        (b"01,A,B,261003,0600,1,,,2/", ".csv", "bai2"),
        (b"a;b\n1;2\n", ".csv", "text"),
        (b"%PDF", ".pdf", ""),
    ],
)
def test_a_file_is_told_by_its_content(start, suffix, kind):
    assert file_kind(start, suffix) == kind


def zipped(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return path


def test_a_zip_of_statements_is_read_under_the_names_inside(tmp_path):
    zipped(tmp_path / "october.zip", a__sta=MT940, b__sta=MT940.replace("A1", "A2"), __hidden__sta=MT940)
    sheets = read_inputs(tmp_path)
    assert sorted({s.file for s in sheets}) == ["october.zip/a.sta", "october.zip/b.sta"]
    assert sum(len(s.frame) for s in sheets if s.table == "statement_lines") == 2


def test_an_archive_or_parquet_file_within_an_archive_is_noted_and_not_opened(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a.sta", MT940)
    zipped(tmp_path / "outer.zip", inner__zip=inner.getvalue(), t__parquet=b"PAR1")
    assert [s.notes[0][3] for s in read_inputs(tmp_path)] == ["UNKNOWN_FILE"] * 2


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path):
    (tmp_path / "big.csv").write_bytes(b"x" * (1024 * 1024 + 1))
    with pytest.raises(InputError, match=r"too large.*big\.csv.*at most 1 MB.*raise max_file_mb"):
        read_inputs(tmp_path, max_file_mb=1)


def test_every_file_that_cannot_be_read_is_named_at_once(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"no workbook")
    (tmp_path / "b.sta").write_text(MT940)
    (tmp_path / "c.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(InputError, match=r"2 files cannot be read.*\(1\).*a\.xlsx.*\(2\).*c\.parquet") as error:
        read_inputs(tmp_path)
    assert "b.sta" not in str(error.value)


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.xlsx", "bomb.ods"])
def test_an_archive_that_inflates_beyond_measure_is_refused(tmp_path, name):
    zipped(tmp_path / name, sheet__xml=b"0" * 40_000_000)
    start = time.process_time()
    with pytest.raises(InputError, match=r"inflates beyond measure.*bomb.*at most 200 times"):
        read_inputs(tmp_path)
    with pytest.raises(InputError, match=r"too large.*unpacked"):
        read_inputs(tmp_path, max_file_mb=20)
    assert time.process_time() - start < 5


def test_an_archive_that_declares_less_than_it_holds_is_refused(tmp_path):
    path = zipped(tmp_path / "liar.zip", a__csv=b"0" * 5_000_000)
    content = bytearray(path.read_bytes())
    for size in (
        place for place in range(len(content) - 4) if content[place : place + 4] == struct.pack("<I", 5_000_000)
    ):
        content[size : size + 4] = struct.pack("<I", 100)
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"inflates beyond measure.*liar\.zip/a\.csv.*100 bytes as the archive declares"
    ):
        read_inputs(tmp_path)


def test_an_archive_packed_in_an_unusual_way_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.sta", MT940)
    with pytest.raises(InputError, match=r"packed in an unusual way.*a\.zip/a\.sta.*method 12"):
        read_inputs(tmp_path)


def test_a_damaged_archive_is_refused(tmp_path):
    path = zipped(tmp_path / "cut.zip", a__sta=MT940 * 40)
    content = bytearray(path.read_bytes())
    content[45:60] = b"\xff" * 15
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"archive cannot be read.*cut\.zip"):
        read_inputs(tmp_path)


def test_an_archive_whose_directory_points_before_the_file_is_refused_by_name(tmp_path):
    """The directory says that it begins later than it does; every place in it moves forward by as much."""
    path = zipped(tmp_path / "moved.zip", a__sta=MT940)
    content = path.read_bytes()
    end = content.rindex(b"PK\x05\x06")
    begin = int.from_bytes(content[end + 16 : end + 20], "little") + 40
    path.write_bytes(content[: end + 16] + begin.to_bytes(4, "little") + content[end + 20 :])
    with pytest.raises(InputError, match=r"archive cannot be read.*moved\.zip/a\.sta"):
        read_inputs(tmp_path)


def test_an_archive_with_a_password_is_refused(tmp_path):
    path = zipped(tmp_path / "secret.zip", a__sta=MT940)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"protected by a password.*secret\.zip"):
        read_inputs(tmp_path)


def test_a_name_inside_an_archive_leads_nowhere_outside(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("../../escaped.sta", MT940)
    assert len(read_inputs(folder)) == 2
    assert [p.name for p in tmp_path.rglob("*.sta")] == []


def test_two_banks_that_give_their_statements_one_number_are_kept_apart(tmp_path, clean):
    text = '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><Stmt><Id>1</Id><Acct><Id><IBAN>{}</IBAN></Id></Acct><Ntry><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-10-02</Dt></BookgDt></Ntry></Stmt></BkToCstmrStmt></Document>'
    for iban in ("DE1", "DE2"):
        (tmp_path / f"{iban}.xml").write_text(text.format(iban))
    assert clean(tmp_path)["statement_lines"]["statement_id"].tolist() == ["DE1 1", "DE2 1"]


def test_the_months_of_a_workbook_without_statement_ids_are_kept_apart(tmp_path, clean):
    book = openpyxl.Workbook()
    pages = [book.active, book.create_sheet("Nov"), book.create_sheet("limits")]
    pages[0].title = "Okt"
    for page, rows in zip(pages, ([3, 5], [3, 7], []), strict=True):
        page.append(["account", "booking_date", "amount_posted", "currency"] if rows else ["no", "table"])
        for day in rows:
            page.append(["DE1", date(2026, 10, day), 12.5, "EUR"])
    book.save(tmp_path / "statement_lines.xlsx")
    tables = clean(tmp_path)
    lines = tables["statement_lines"][["statement_id", "line_id", "account"]].to_numpy().tolist()
    assert lines == [
        ["statement_lines Nov", "2", "DE1"], ["statement_lines Nov", "3", "DE1"],
        ["statement_lines Okt", "2", "DE1"], ["statement_lines Okt", "3", "DE1"],
    ]  # fmt: skip
    assert not (tables["rejects"]["severity"] == "error").any()


def test_a_long_file_name_stands_for_a_statement_id_in_short(tmp_path, clean):
    (tmp_path / f"statement_lines {'x' * 60}.csv").write_text("account,booking_date,amount_posted,currency\nDE1,2026-10-03,1.50,EUR\n")  # fmt: skip
    tables = clean(tmp_path)
    assert tables["statement_lines"]["statement_id"].str.len().tolist() == [50]
    assert tables["rejects"].empty
