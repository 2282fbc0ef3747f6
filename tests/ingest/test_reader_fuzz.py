"""Every reader gives back what was written, and answers damage with an error or a note: no crash, no hang, no silent loss."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_lib.core.errors import AtlasError
from atlas_lib.core.settings import IngestSettings
from atlas_lib.ingest import clean_inputs, read_inputs
from tests.ingest.statement_files import FORMATS, Entry, closing

SETTINGS = IngestSettings()
WORDS = st.text("abcdefghij XYZ0123456789", min_size=1, max_size=20).map(lambda t: "x" + " ".join(t.split()))
ENTRIES = st.lists(
    st.builds(Entry, st.integers(1, 10**11), st.booleans(), st.integers(1, 28), WORDS), min_size=1, max_size=6
)
OPENING = st.integers(-(10**11), 10**11)
# how often the file itself says that there is a line, per reader
MARKS = {"s.sta": r"^:61:", "s.ofx": "<STMTTRN>", "s.bai": r"^16,", "s.xml": r"<(?:\w+:)?Ntry>"}
NOTED = ("WRONG_FIELD_COUNT", "INFORMATION_ENTRY", "GROUP_LEFT_OUT")


def read(name, content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        return read_inputs(path)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=8)
@given(opening=OPENING, entries=ENTRIES)
def test_what_was_written_is_read_and_adds_up(name, opening, entries):
    tables = clean_inputs(read(name, FORMATS[name](opening, entries).encode()), SETTINGS)
    lines = tables["statement_lines"].sort_values("source_row", kind="stable")
    side = lines["credit_debit_indicator"].map({"CRDT": 1, "DBIT": -1})
    assert (lines["amount_posted_minor"] * side).tolist() == [e.signed for e in entries]
    assert lines["booking_date"].dt.strftime("%Y-%m-%d").tolist() == [
        "2026-10-02" if name == "s.bai" else e.date for e in entries
    ]
    assert lines["remittance_text"].tolist() == [e.text for e in entries]
    ends = tables["statement_balances"].set_index("balance_type")["balance_minor"].to_dict()
    assert ends["CLBD"] == closing(opening, entries)
    assert tables["rejects"].empty


EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=6)), min_size=1, max_size=4
)  # where, how many bytes go, what comes in their place


def damaged(content, edits):
    for where, cut, put in edits:
        place = int(where * len(content))
        content = content[:place] + put + content[place + cut :]
    return content


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=12)
@given(entries=ENTRIES, edits=EDITS)
def test_a_damaged_file_is_refused_or_read_with_every_line_accounted_for(name, entries, edits):
    content = damaged(FORMATS[name](100, entries).encode(), edits)
    start = time.process_time()
    try:
        sheets = read(name, content)
        clean_inputs(sheets, SETTINGS)
    except AtlasError:
        return
    finally:
        assert time.process_time() - start < 5
    if name in MARKS and any(s.table == "statement_lines" for s in sheets):
        claimed = len(re.findall(MARKS[name], content.decode("latin-1"), re.MULTILINE))
        noted = sum(n[3] in NOTED for s in sheets for n in s.notes)
        assert sum(len(s.frame) for s in sheets if s.table == "statement_lines") + noted >= claimed


@settings(max_examples=20)
@given(st.sampled_from([*FORMATS, "s.txt", "s.xlsx", "s.zip", "s.parquet", "s.xls"]), st.binary(max_size=300))
def test_bytes_of_no_meaning_are_refused_or_noted(name, content):
    try:
        sheets = read(name, content)
    except AtlasError:
        return
    assert all(len(s.frame) == 0 or s.table == "" for s in sheets)


@settings(max_examples=15)
@given(entries=ENTRIES, bad=st.lists(st.booleans(), min_size=6, max_size=6), has_breaks=st.booleans())
def test_exactly_the_refused_entries_are_to_be_corrected_also_where_all_stand_on_one_line(entries, bad, has_breaks):
    broken = [number for number, is_bad in enumerate(bad[: len(entries)], start=1) if is_bad]
    chunks = re.split(r"(?=<Ntry>)", FORMATS["s.xml"](0, entries))
    chunks = [c.replace("</Amt>", "x</Amt>", 1) if n in broken else c for n, c in enumerate(chunks)]
    made = "".join(chunks) if has_breaks else "".join(chunks).replace("\n", "")
    tables = clean_inputs(read("s.xml", made.encode()), SETTINGS)
    cells = tables["refused_cells"]
    assert cells.loc[cells["column"] == "line_id", "value"].tolist() == [str(number) for number in broken]
    assert sorted(tables["statement_lines"]["line_id"].astype(int)) == [
        n for n in range(1, len(entries) + 1) if n not in broken
    ]
