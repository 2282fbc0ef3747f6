"""`atlas evaluate schedules`, on loans small enough to check by hand."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from atlas_lib.core.errors import InputError
from atlas_lib.evaluation import app as evaluate


def evaluated(folder, *command):
    return CliRunner().invoke(evaluate, [*command, "--data", str(folder)], catch_exceptions=True)


def test_loans_of_both_lenders_are_found_by_their_columns(tmp_path):
    # numpy-financial: pmt(0.08 / 12, 60, 15000) = 304.145914, so 304.14 is within 1.1 cent and 304.16 is not.
    (tmp_path / "club.csv").write_text(
        "loan_amount,term,interest_rate,installment\n15000,60,8,304.15\n15000,60,8,304.14\n15000,60,8,304.16\n"
    )
    (tmp_path / "loan.asc").write_text('"amount";"duration";"payments"\n96396;12;8033.00\n')
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    printed = evaluated(tmp_path, "schedules").output.splitlines()
    assert printed == [
        "club.csv: 3 loans, annuity; agreed instalment within 1.1 cent of the unrounded one for 2 (66.67%); "
        "to the cent for 1 rounded to the nearest cent, for 1 rounded up",
        "  15,000.00 over 60 months at 8.00%: ours 304.15, agreed 304.16; not explained",
        "loan.asc: 1 loans, linear; agreed instalment within 1.1 cent of the unrounded one for 1 (100.00%); "
        "to the cent for 1 rounded to the nearest cent, for 1 rounded up",
    ]


def test_a_lender_that_rounds_up_is_told_from_one_that_rounds(tmp_path):
    # numpy-financial: pmt(0.1 / 12, 36, 1000) = 32.267187: 32.27 either way; pmt(0.1 / 12, 36, 2000) = 64.534374.
    (tmp_path / "club.csv").write_text(
        "loan_amount,term,interest_rate,installment\n1000,36,10,32.27\n2000,36,10,64.54\n"
    )
    assert "for 1 rounded to the nearest cent, for 2 rounded up" in evaluated(tmp_path, "schedules").output


def test_an_instalment_of_the_balance_at_a_lower_rate_is_explained(tmp_path):
    # numpy-financial: pmt(0.06 / 12, 24, 7000) = 310.244... against 332.14 on the 10,000 first lent.
    (tmp_path / "club.csv").write_text("loan_amount,term,interest_rate,installment,balance\n10000,36,6,310.25,7000\n")
    assert evaluated(tmp_path, "schedules").output.splitlines()[1] == (
        "  10,000.00 over 36 months at 6.00%: ours 304.22, agreed 310.25; "
        "that repays its balance of 7,000.00 over 24 months: planned anew at a changed rate"
    )


def test_a_folder_without_loans_says_what_was_expected(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    error = evaluated(tmp_path, "schedules").exception
    assert isinstance(error, InputError)
    assert "loan_amount, term, interest_rate, installment" in str(error)
    with pytest.raises(InputError, match="cannot be read"):
        raise evaluated(tmp_path / "none.csv", "schedules").exception
