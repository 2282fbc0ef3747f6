"""`atlas evaluate reconciliation` on generated files: other columns, formats and separators, unmatched rows, labels."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from atlas_lib.core.errors import InputError
from atlas_lib.evaluation import app as evaluate

SYLLABLES = np.array("al ba cor den el fir gor han ist jur kal lim mor nad os pet qui rom sal tur".split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """400 payments and their bank lines a few days later, 60 more without partner on either side."""
    random, folder = np.random.default_rng(21), tmp_path_factory.mktemp("labelled")
    count, alone = 400, 60
    ours, lag = random.integers(0, 80, count + alone), 1 + random.poisson(1, count + alone)
    day = pd.Timestamp("2026-02-01") + pd.to_timedelta(ours, unit="D")
    amount = np.round(np.exp(random.normal(5, 1.3, count + alone)), 2) + 1
    name = pd.Series(
        ["".join(row[:2]) + " " + "".join(row[2:]) for row in random.choice(SYLLABLES, (count + alone, 5))]
    )
    order = random.permutation(count + alone)
    left = pd.DataFrame(
        {
            "Zahlung": [f"Z{i}" for i in range(count + alone)],
            "Buchungstag": day.strftime("%d.%m.%Y"),
            "Betrag": amount,
            "Zweck": name.str.upper(),
            "Filiale": "Nord",
        }
    )
    left["Betrag"] = left["Betrag"].map(lambda v: f"{v:,.2f}".translate(str.maketrans(",.", ".,")))
    far = np.arange(count + alone) >= count
    right = pd.DataFrame(
        {
            "line": [f"B{i}" for i in order],
            "booked": (day + pd.to_timedelta(lag, unit="D")).strftime("%d/%m/%Y"),
            "value": -np.where(far, amount[::-1] * 1.4, np.round(amount * 0.99, 2)).round(2),
            "narrative": np.where(far, name[::-1], name.str[:11]),
            "ccy": "EUR",
        }
    )
    right.loc[:4, "narrative"] = None
    truth = pd.DataFrame({"bank": right["line"][:count], "ours": left["Zahlung"][:count], "extra": "x"})
    left.to_csv(folder / "left.csv", sep=";", index=False, encoding="cp1252")
    right.sample(frac=1, random_state=1).to_parquet(folder / "right.parquet", index=False)
    truth.sample(frac=1, random_state=2).to_csv(folder / "truth.csv", index=False)
    return folder  # fmt: skip


def asked(folder, *more, right="right.parquet"):
    arguments = [
        "--left",
        str(folder / "left.csv"),
        "--right",
        str(folder / right),
        "--truth",
        str(folder / "truth.csv"),
        *more,
    ]
    return CliRunner().invoke(evaluate, ["reconciliation", *arguments])  # fmt: skip


@pytest.fixture(scope="module")
def lines(folder):
    result = asked(folder, "--json", "--chart", str(folder / "chart.html"))
    assert result.exception is None, result.exception
    return result.output.splitlines()


def test_the_last_line_is_the_json_that_a_caller_reads(lines):
    found = json.loads(lines[-1])
    assert list(found) == ["auto", "suggested"]
    assert [list(rates) for rates in found.values()] == [["precision", "recall"]] * 2
    assert found["auto"]["precision"] >= 0.99
    assert found["auto"]["recall"] >= 0.8
    assert found["suggested"]["recall"] >= max(found["auto"]["recall"], 0.9)


def test_columns_separators_and_marks_are_recognised(lines):
    assert lines[0] == "left: 460 rows; id Zahlung, date Buchungstag, amount Betrag, text Zweck"
    assert lines[1] == "right: 460 rows; id line, date booked, amount value, currency ccy, text narrative"
    assert lines[2] == "truth: 400 pairs (ours, bank)"


def test_calibration_is_drawn_and_errors_are_told(lines, folder):
    assert "predicted probability" in (folder / "chart.html").read_text()
    assert any(line.startswith("wrong pairs") for line in lines)
    assert any(line.startswith("missed pairs: ") for line in lines)


def test_the_names_of_the_records_are_no_evidence(folder):
    """Other ids, in another order: the same figures."""
    fresh = {f"B{i}": f"X{(i * 7919) % 1009:04d}" for i in range(460)}
    right = pd.read_parquet(folder / "right.parquet")
    right.assign(line=right["line"].map(fresh)).to_csv(folder / "renamed.csv", index=False)
    truth = pd.read_csv(folder / "truth.csv")
    truth.assign(bank=truth["bank"].map(fresh)).to_csv(folder / "renamed_truth.csv", index=False)
    arguments = ["--left", str(folder / "left.csv"), "--right", str(folder / "renamed.csv")]
    arguments += ["--truth", str(folder / "renamed_truth.csv"), "--json"]
    again = CliRunner().invoke(evaluate, ["reconciliation", *arguments]).output.splitlines()
    assert again[-1] == asked(folder, "--json").output.splitlines()[-1]


def test_swapped_sides_find_the_date_window_by_themselves(folder):
    arguments = ["--left", str(folder / "right.parquet"), "--right", str(folder / "left.csv")]
    arguments += ["--truth", str(folder / "truth.csv"), "--json"]
    found = json.loads(CliRunner().invoke(evaluate, ["reconciliation", *arguments]).output.splitlines()[-1])
    assert found["suggested"]["recall"] >= 0.9


def test_decisions_kept_so_far_may_correct_the_weights(folder):
    truth = pd.read_csv(folder / "truth.csv").head(40)
    pd.DataFrame({"left": truth["ours"], "right": truth["bank"], "ok": "true"}).to_csv(folder / "kept.csv", index=False)
    result = asked(folder, "--json", "--labels", str(folder / "kept.csv"))
    assert json.loads(result.output.splitlines()[-1])["auto"]["precision"] >= 0.99


def test_a_record_with_two_partners_counts_as_two_pairs(folder):
    truth = pd.read_csv(folder / "truth.csv")
    more = pd.concat([truth, truth.head(10).assign(ours="Z459")])
    more.to_csv(folder / "more.csv", index=False)
    arguments = ["--left", str(folder / "left.csv"), "--right", str(folder / "right.parquet"), "--truth", str(folder / "more.csv")]  # fmt: skip
    output = CliRunner().invoke(evaluate, ["reconciliation", *arguments]).output
    assert "10 pairs give a record a further partner" in output
    assert "truth 410" in output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--left-amount", "Summe"], "Summe"),
        (["--right-id", "ccy"], "ids"),
        (["--auto-precision", "2"], "auto_precision"),
    ],
)
def test_what_cannot_be_is_refused_with_its_name(folder, options, told):
    result = asked(folder, *options)
    assert told in str(result.exception)


def test_a_file_that_is_none_is_refused(folder):
    (folder / "empty.csv").write_text("id,date\n")
    with pytest.raises(InputError, match="no rows"):
        raise asked(folder, right="empty.csv").exception


def test_a_chart_that_cannot_be_written_is_refused_before_the_work(folder, tmp_path):
    result = asked(folder, "--json", "--left", "nowhere.csv", "--chart", str(tmp_path / "missing" / "x.html"))
    assert isinstance(result.exception, InputError) and "The chart cannot be written" in str(result.exception)


def test_an_id_that_repeats_is_named(tmp_path):
    rows = [f"A{i},2026-02-0{i},{i}.00,rent {i}" for i in range(1, 6)]
    (tmp_path / "left.csv").write_text("\n".join(["id,date,amount,text", *rows, rows[2]]))
    (tmp_path / "right.csv").write_text("\n".join(["line,date,amount,text", *rows]).replace("A", "B"))
    (tmp_path / "truth.csv").write_text("\n".join(["ours,bank", *(f"A{i},B{i}" for i in range(1, 6))]))
    result = asked(tmp_path, right="right.csv")
    assert isinstance(result.exception, InputError)
    assert "An id names two records" in str(result.exception) and "left file, column id" in str(result.exception)
    assert "Found: A3 " in str(result.exception)
