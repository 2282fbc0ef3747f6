"""`atlas evaluate schedules`, on loans small enough to check by hand."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from atlas_lib.core.errors import InputError
from atlas_lib.evaluation import app as evaluate


def evaluated(folder, *command):
    return CliRunner().invoke(evaluate, [*command, "--data", str(folder)], catch_exceptions=True)


def test_loans_of_both_lenders_are_found_by_their_columns(tmp_path):
    # numpy-financial: pmt(0.08 / 12, 60, 15000) = 304.145914; the second instalment is made wrong on purpose.
    (tmp_path / "club.csv").write_text(
        "loan_amount,term,interest_rate,installment\n15000,60,8,304.15\n15000,60,8,305.00\n"
    )
    (tmp_path / "loan.asc").write_text('"amount";"duration";"payments"\n96396;12;8033.00\n')
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    printed = evaluated(tmp_path, "schedules").output.splitlines()
    assert printed == [
        "club.csv: 2 loans, annuity; instalment the same to the cent for 1, within 1 cent for 1 (50.00%); "
        "furthest off: 304.15 against 305.00",
        "loan.asc: 1 loans, linear; instalment the same to the cent for 1, within 1 cent for 1 (100.00%); "
        "furthest off: 8,033.00 against 8,033.00",
    ]


def test_a_folder_without_loans_says_what_was_expected(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    error = evaluated(tmp_path, "schedules").exception
    assert isinstance(error, InputError)
    assert "loan_amount, term, interest_rate, installment" in str(error)
    with pytest.raises(InputError, match="cannot be read"):
        raise evaluated(tmp_path / "none.csv", "schedules").exception
