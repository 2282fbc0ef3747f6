"""How text files are written, by people and by machines: what is read back is what was written."""

from __future__ import annotations

import csv
import io
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.errors import AtlasError
from atlas_lib.ingest.dialects import decode, find_dialect
from atlas_lib.ingest.flatfiles import read_parquet, read_text

NAMES = ["policy_id", "policy_type", "rule_description", "parameters", "active"]
ROW = ["P1", "AML", "Überweisung über Limit", "threshold=10000", "yes"]


def table_of(content: bytes, folder, name="policies.csv"):
    path = folder / name
    path.write_bytes(content)
    return [sheet for sheet in read_text(path, name) if sheet.table]


def cells(sheet):
    return [[None if v != v else v for v in row] for row in sheet.frame.astype(object).to_numpy().tolist()]


def text_of(rows, delimiter=",", end="\n", quote='"', quoting=csv.QUOTE_MINIMAL):
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator=end, quotechar=quote, quoting=quoting).writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_line_ends_and_encodings_of_all_systems(tmp_path, end, encoding):
    (sheet,) = table_of(text_of([NAMES, ROW, ROW], ";", end).encode(encoding), tmp_path)
    assert cells(sheet) == [ROW, ROW]
    assert sheet.frame.index.tolist() == [2, 3]


def test_a_first_line_that_says_sep_decides(tmp_path):
    (sheet,) = table_of(("sep=|\n" + text_of([NAMES, ROW], "|")).encode(), tmp_path)
    assert (cells(sheet), sheet.header_row, sheet.left[0].use) == ([ROW], 2, "above the header")


def test_a_code_page_is_told_by_its_letters_and_said():
    lines = "\n".join(["žluťoučký kůň úpěl ďábelské ódy", "příliš žluté květiny", "řeka šumí"] * 10)
    text, encoding, remark = decode(lines.encode("cp1250"))
    assert (text, encoding) == (lines, "cp1250")
    assert "cp1250" in remark


def test_stray_nuls_are_left_out_and_said(tmp_path):
    (sheet,) = table_of(text_of([NAMES, ROW]).encode().replace(b"AML", b"A\0ML\0"), tmp_path)
    assert cells(sheet) == [ROW]
    assert "2 NUL characters" in sheet.notes[0][4]


def test_single_quotes_and_backslash_escapes_are_understood():
    assert find_dialect("'a','b','c'\n'1,5','2','3'\n")[1][1] == ["1,5", "2", "3"]
    assert find_dialect('"a","b"\n"say \\"hi\\" now","2"\n')[1][1] == ['say "hi" now', "2"]


def test_lines_are_counted_as_an_editor_does_behind_a_text_of_several_lines(tmp_path):
    (sheet,) = table_of(text_of([NAMES, [*ROW[:2], "first\nsecond\nthird", *ROW[3:]], ROW]).encode(), tmp_path)
    assert sheet.frame.index.tolist() == [2, 5]


def test_empty_fields_behind_the_last_column_are_harmless(tmp_path):
    text = text_of([NAMES, ROW]).replace("yes\n", "yes,,\n") + text_of([ROW])
    assert cells(table_of(text.encode(), tmp_path)[0]) == [ROW, ROW]


def test_two_tables_in_one_file_are_both_read_and_a_short_line_is_still_refused(tmp_path):
    liquidity = [["currency", "opening_balance", "minimum_balance"], ["EUR", "1", "2"], ["USD", "1"]]
    text = text_of([NAMES, ROW, [], ["Cash"], *liquidity])
    policies, cash = table_of(text.encode(), tmp_path)
    assert (policies.table, cells(policies), cash.table) == ("policies", [ROW], "liquidity")
    assert [row[:3] for row in cells(cash)] == [["EUR", "1", "2"]]
    assert [(n[0], n[3]) for n in cash.notes] == [(7, "WRONG_FIELD_COUNT")]


def test_a_quote_that_is_never_closed_is_named_by_its_line(tmp_path):
    text = text_of([NAMES, ROW, ROW]).replace("P1,AML", 'P1,"AML', 1)
    with pytest.raises(AtlasError, match=r"never closed.*policies\.csv, at the latest in line 2"):
        table_of(text.encode(), tmp_path)


def test_a_remark_at_the_end_is_no_broken_line(tmp_path):
    (sheet,) = table_of((text_of([NAMES, ROW]) + "\nEnd of the report\n").encode(), tmp_path)
    assert cells(sheet) == [ROW]
    assert [item.use for item in sheet.left] == ["note"]


FIELD = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\"'\\\ufeff"), max_size=8
).map(str.strip)
LINE = st.tuples(
    st.integers(1, 10**6).map(lambda n: f"P{n}"), st.sampled_from(["KYC", "AML"]), FIELD, FIELD, st.just("yes")
)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(LINE, min_size=1, max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.booleans(),
)
def test_a_random_table_in_a_random_dialect_is_read_back(tmp_path_factory, rows, delimiter, end, encoding, quote_all):
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    content = text_of([NAMES, *rows], delimiter, end, quoting=quoting).encode(encoding)
    (sheet,) = table_of(content, tmp_path_factory.mktemp("csv"))
    assert cells(sheet) == [[v or None for v in row] for row in rows]


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 60), st.integers(0, 255))
def test_damaged_text_gives_rows_or_a_clear_error_and_loses_no_line(tmp_path_factory, noise, at, byte):
    content = bytearray(text_of([NAMES, ROW, ROW]).encode())
    content[at] = byte
    path = tmp_path_factory.mktemp("csv") / "policies.csv"
    path.write_bytes(bytes(content) + noise)
    try:
        sheets = list(read_text(path, "policies.csv"))
    except AtlasError:
        return
    text = decode(path.read_bytes())[0]
    spoken = {n for s in sheets for i in s.left for n in range(i.first_row, i.last_row + 1)}
    spoken |= {n for s in sheets for n in [*s.frame.index, s.header_row, *(note[0] for note in s.notes)]}
    written = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    lines = {
        number
        for number, line in enumerate(written, start=1)
        if any(part.strip() for part in re.split(r"[,;\t|^~:§¦\x1f]", line))
    }
    assert lines <= spoken or any(mark in text for mark in ('"', "'", chr(92)))  # a quoted text may span lines


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_damaged_parquet_file_gives_rows_or_a_clear_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("parquet") / "policies.parquet"
    pq.write_table(pa.table({name: [value] * 20 for name, value in zip(NAMES, ROW, strict=True)}), path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        assert read_parquet(path, "policies.parquet").header
    except AtlasError as error:
        assert "policies.parquet" in str(error)
