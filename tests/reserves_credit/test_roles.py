"""One table says who may see and do what; who acts comes from the login, never from a text box."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from atlas_lib.core.errors import Refused, SettingsError
from atlas_lib.reserves_credit import roles
from atlas_lib.reserves_credit.roles import PERMISSIONS, ROLES, Actor
from tests.reserves_credit.reserves_credit_frames import settings


@pytest.fixture
def people(tmp_path) -> str:
    path = tmp_path / "people.yaml"
    path.write_text("olga: settlement_ops\nmert: {role: merchant, merchant_id: M1}\n", encoding="utf-8")
    return str(path)


def test_every_action_is_allowed_to_a_known_role_and_refused_to_every_other():
    for action, (_, allowed) in PERMISSIONS.items():
        assert set(allowed) <= set(ROLES)
        for role in ROLES:
            assert roles.may(Actor("a", role, "M1" if role == "merchant" else ""), action) == (role in allowed)


def test_nobody_may_do_anything():
    assert not any(roles.may(Actor("", ""), action) for action in PERMISSIONS)
    assert not any(roles.may(Actor("", "settlement_ops"), action) for action in PERMISSIONS)


@pytest.mark.parametrize("action", ["prepare", "approve", "request", "block", "set_policy"])
def test_an_auditor_changes_nothing(action):
    with pytest.raises(Refused, match="auditor"):
        roles.require(Actor("ada", "auditor"), action)


def test_who_prepares_or_requests_has_no_role_that_approves_large_files():
    assert not set(PERMISSIONS["prepare"][1]) & set(PERMISSIONS["approve"][1])
    assert not set(PERMISSIONS["request"][1]) & set(PERMISSIONS["approve"][1])


def test_the_login_header_names_the_person_and_the_environment_cannot_overrule_it(people):
    environment = {"ATLAS_LOGIN_HEADER": "X-Forwarded-User", "HTTP_X_FORWARDED_USER": "olga", "ATLAS_PEOPLE": people}
    taken_over = environment | {"ATLAS_ACTOR": "carl", "ATLAS_ROLE": "credit_manager"}
    assert roles.identify(taken_over) == Actor("olga", "settlement_ops")


@pytest.mark.parametrize("header", [{}, {"HTTP_X_FORWARDED_USER": "mallory"}])
def test_behind_a_proxy_a_person_who_is_not_listed_is_refused(people, header):
    with pytest.raises(Refused, match="no such person"):
        roles.identify({"ATLAS_LOGIN_HEADER": "X-Forwarded-User", "ATLAS_PEOPLE": people} | header)


def test_without_a_proxy_the_environment_names_person_and_role(people):
    assert roles.identify({"ATLAS_ACTOR": "carl", "ATLAS_ROLE": "credit_manager"}) == Actor("carl", "credit_manager")
    assert (
        roles.identify({"ATLAS_ACTOR": "olga", "ATLAS_ROLE": "auditor", "ATLAS_PEOPLE": people}).role
        == "settlement_ops"
    )
    assert roles.identify({}) == Actor("", "")


@pytest.mark.parametrize("text", ["olga: king", "olga: merchant", "carl: {role: auditor, merchant_id: M1}", "- olga"])
def test_a_wrong_list_of_people_is_named_with_the_line_that_is_wrong(tmp_path, text):
    path = tmp_path / "people.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"people\.yaml"):
        roles.identify({"ATLAS_PEOPLE": str(path), "ATLAS_ACTOR": "olga"})


def test_a_merchant_sees_its_own_rows_only_and_nothing_of_tables_without_merchants():
    table = pd.DataFrame(
        {"merchant_id": ["M1", "M2"], "iban": ["DE89370400440532013000", None], "amount_minor": [1, 2]}
    )
    mine = roles.visible(Actor("mert", "merchant", "M1"), table)
    assert mine["merchant_id"].tolist() == ["M1"]
    assert mine["iban"].tolist() == ["DE89370400440532013000"]
    assert roles.visible(Actor("mert", "merchant", "M1"), pd.DataFrame({"scope": ["currency"]})).empty
    assert roles.visible(Actor("eve", ""), table).empty


def test_a_merchant_is_told_what_it_can_mend_and_neither_a_suspicion_nor_who_decided():
    told = {"merchant_id": ["M1"], "reasons": "SANCTIONS_MATCH; FRAUD_REVIEW; INVALID_IBAN", "status": "Requested"}
    table = pd.DataFrame(told | {"by": "olga", "prepared_by": "olga", "approved_by": "carl", "sha256": "ab"})
    seen = roles.visible(Actor("mert", "merchant", "M1"), table).iloc[0]
    assert seen["reasons"] == "UNDER_REVIEW; INVALID_IBAN"
    assert seen[["by", "prepared_by", "approved_by", "sha256", "status"]].tolist() == ["", "", "", "", "Requested"]
    assert roles.visible(Actor("ada", "auditor"), table).equals(table)


def test_account_numbers_are_masked_for_roles_that_do_not_pay():
    table = pd.DataFrame({"merchant_id": ["M1", "M2"], "iban": ["DE89370400440532013000", None]})
    assert roles.visible(Actor("rita", "risk_analyst"), table)["iban"].tolist()[0] == "DE** **** 3000"
    assert roles.visible(Actor("rita", "risk_analyst"), table)["iban"].isna().tolist() == [False, True]
    assert roles.visible(Actor("olga", "settlement_ops"), table)["iban"].tolist()[0] == "DE89370400440532013000"


def test_the_document_shows_the_table_as_it_is_enforced():
    text = (Path(__file__).parents[2] / "docs" / "payouts.md").read_text(encoding="utf-8")
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    start = cells.index(["action", "meaning", *ROLES])
    enforced = [[a, text, *("yes" if r in who else "" for r in ROLES)] for a, (text, who) in PERMISSIONS.items()]
    assert cells[start + 2 : start + 2 + len(PERMISSIONS)] == enforced


@pytest.mark.parametrize(("highest", "found"), [("", 50_000.0), ("10000", 10_000.0), ("99999.50", 50_000.0)])
def test_who_makes_runs_cannot_raise_the_four_eyes_amount_above_that_of_the_machine(highest, found):
    chosen = settings(four_eyes_amount=50_000)
    assert roles.bound_four_eyes(chosen, {"ATLAS_FOUR_EYES_AMOUNT": highest}).four_eyes_amount == found


def test_a_four_eyes_amount_that_is_no_amount_is_named():
    with pytest.raises(SettingsError, match="ATLAS_FOUR_EYES_AMOUNT"):
        roles.bound_four_eyes(settings(), {"ATLAS_FOUR_EYES_AMOUNT": "-1"})


@pytest.mark.parametrize("role", ROLES)
def test_in_a_trial_everybody_sees_what_they_may_and_nobody_decides(role):
    person, in_trial = Actor("ada", role, "M1"), Actor("ada", role, "M1", trial_of="2026-10-30-a")
    for action in PERMISSIONS:
        assert roles.may(in_trial, action) == (roles.may(person, action) and action.startswith("see_"))
        if roles.may(person, action) and not action.startswith("see_"):
            with pytest.raises(Refused, match=r"Nothing is decided in a trial.*2026-10-30-a"):
                roles.require(in_trial, action)
