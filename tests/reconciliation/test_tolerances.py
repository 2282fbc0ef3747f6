import pytest

from atlas_lib.core.errors import SettingsError
from atlas_lib.core.given_settings import stage_settings
from atlas_lib.reconciliation.tolerances import tolerance_table
from tests.reconciliation.reconciliation_frames import frame_of, line, match, payment, settings


def matched(ours, bank, *rules):
    found = match(frame_of("transactions", ours), frame_of("statement_lines", bank), settings(tolerances=rules))
    return found["matches"]["match_pass"].tolist()


def named(amount, **more):
    return [line("1", amount, "2026-10-06", end_to_end_id="R1", **more)]


@pytest.mark.parametrize("amount, expected", [(99_500, ["reference"]), (99_499, []), (100_001, [])])
def test_a_relative_tolerance_below_holds_beside_none_above(amount, expected):
    ours = [payment("T1", 100_000, "2026-10-05", reference="R1")]
    rule = {"match_pass": "reference", "below_percent": 0.5, "above_minor": 0}
    assert matched(ours, named(amount), rule) == expected


def test_of_absolute_and_relative_the_larger_counts():
    ours = [payment("T1", 1_000, "2026-10-05", reference="R1")]
    rule = {"below_minor": 40, "below_percent": 1}
    assert matched(ours, named(960), rule) == ["reference"]
    assert matched(ours, named(959), rule) == []


def test_a_rule_for_one_currency_leaves_the_others():
    rule = {"currency": "JPY", "below_minor": 50}
    yen = [payment("T1", 1_000, "2026-10-05", reference="R1", currency="JPY")]
    assert matched(yen, named(950, currency="JPY"), rule) == ["reference"]
    assert matched([payment("T1", 1_000, "2026-10-05", reference="R1")], named(950), rule) == []


@pytest.mark.parametrize("amount", [1_020, 10_080, 99_999, 100_000, 1_004_000, 5])
def test_amount_and_date_finds_all_that_a_relative_rule_allows(amount):
    ours = [payment("T1", amount, "2026-10-05")]
    rule = {"match_pass": "amount_date", "below_percent": 2, "above_percent": 2, "above_minor": 200, "below_minor": 0}
    for found in (amount - amount * 2 // 100, amount + max(200, amount * 2 // 100)):
        suggested = match(
            frame_of("transactions", ours),
            frame_of("statement_lines", [line("1", found, "2026-10-05")]),
            settings(tolerances=[rule], min_margin_rate=0),
        )
        assert len(suggested["matches"]) == 1, found


@pytest.mark.parametrize("day, expected", [("2026-10-03", []), ("2026-10-04", ["reference"]), ("2026-10-07", [])])
def test_days_of_a_named_pair_count_only_where_a_rule_says_so(day, expected):
    ours = [payment("T1", 1_000, "2026-10-05", reference="R1")]
    bank = [line("1", 1_000, day, end_to_end_id="R1")]
    assert matched(ours, bank) == ["reference"]
    assert matched(ours, bank, {"match_pass": "reference", "days_before": 1, "days_after": 1}) == expected


def test_later_rules_change_earlier_ones_only_in_what_they_name():
    rules = [{"below_minor": 9, "above_minor": 8}, {"match_pass": "split", "above_minor": 7}]
    table = tolerance_table(settings(tolerances=rules), ["EUR"]).set_index("match_pass")
    assert table.loc["split", ["below_minor", "above_minor"]].tolist() == [9, 7]
    assert table.loc["merge", ["below_minor", "above_minor"]].tolist() == [9, 8]


def test_a_rule_for_an_unknown_pass_is_refused_with_its_name():
    with pytest.raises(SettingsError, match=r"tolerances\.0\.match_pass"):
        stage_settings("05_reconciliation", {"tolerances": [{"match_pass": "magic"}]})
