"""Masks of customers' ids: the same for the same key, in frames and in SQL, also within texts."""

import duckdb
import pandas as pd
import pytest

from atlas_lib.core.customers import EXAMPLE_KEY, detail_masked_in_sql, mask_key, mask_users, masked_user_in_sql
from atlas_lib.core.errors import SettingsError


def test_masked_ids_are_the_same_for_the_same_key_and_tell_nothing_without_it():
    frame = pd.DataFrame({"user_id": ["U1", "U2", "U1"], "amount_minor": [1, 2, 3]})
    masked = mask_users(frame, "key")
    assert masked["user_id"].iloc[0] == masked["user_id"].iloc[2] != masked["user_id"].iloc[1]
    assert not masked["user_id"].str.contains("U1|U2").any()
    assert set(masked["user_id"]).isdisjoint(mask_users(frame, "other key")["user_id"])
    assert frame["user_id"].tolist() == ["U1", "U2", "U1"]


def test_an_id_is_masked_in_the_text_of_its_row_too_and_rows_without_one_stay():
    frame = pd.DataFrame({"user_id": ["U1", None, ""], "detail": ["Payer U1 pays", "U9 is no column", "none"]})
    masked = mask_users(frame, "key")
    mask = masked["user_id"].iloc[0]
    assert masked["detail"].tolist() == [f"Payer {mask} pays", "U9 is no column", "none"]
    assert masked["user_id"].isna().tolist() == [False, True, False]
    assert masked["user_id"].iloc[2] == ""
    assert mask_users(frame[:0], "key").empty


def test_an_id_as_short_as_a_figure_is_masked_where_it_names_the_customer_only():
    detail = "user 17: 17 transactions to review, highest score 0.9817; 8 or more payments of the user"
    frame = pd.DataFrame({"user_id": ["17", "(x"], "detail": [detail, "Payer (x pays again; user 17"]})
    masked = mask_users(frame, "key")
    one, other = masked["user_id"]
    shown = [detail.replace("user 17", f"user {one}"), f"Payer {other} pays again; user 17"]
    assert masked["detail"].tolist() == shown
    found = duckdb.connect().from_df(frame).project(detail_masked_in_sql('"detail"', "key")).fetchall()
    assert [text for (text,) in found] == shown


@pytest.mark.parametrize("key", ["key", "clé", "long " * 20])
def test_a_query_makes_the_same_masks(key):
    frame = pd.DataFrame({"user_id": ["U1", "Ü 2 '\""]})
    found = duckdb.connect().from_df(frame).project(masked_user_in_sql("user_id", key)).fetchall()
    assert [mask for (mask,) in found] == mask_users(frame, key)["user_id"].tolist()


def test_masking_without_a_key_is_refused():
    with pytest.raises(SettingsError, match="key"):
        mask_users(pd.DataFrame({"user_id": ["U1"]}), "")


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("ATLAS_MASK_KEY", raising=False)
    assert (mask_key(), mask_key("mine")) == (EXAMPLE_KEY, "mine")
    monkeypatch.setenv("ATLAS_MASK_KEY", "secret")
    assert mask_key("mine") == "secret"
