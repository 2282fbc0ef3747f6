"""Sanctions lists as published, and names found on them."""

from __future__ import annotations

import pandas as pd
import pytest

from atlas_lib.core.errors import InputError
from atlas_lib.core.settings import IngestSettings
from atlas_lib.ingest.inputs import read_inputs
from atlas_lib.ingest.names import find_alike, fold_names, sounds
from atlas_lib.ingest.sanctions import describe, listed_spellings, match_names, read_folder
from atlas_lib.ingest.validation import clean_inputs

# The layout that OFAC publishes: no header, -0- for empty, a control character at the end. The entries are made up.
SDN = """1,"ORLOW MARITIME TRADING",-0- ,"TEST1",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,"Linked To: NOBODY; a.k.a. 'OMT'."
2,"AL-SHARQI, Yusuf Muhammad Hasan","individual","TEST2",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,"DOB 1 Jan 1960."
\x1a
"""
ALT = '1,11,"aka","NEVSKAYA PERSPEKTIVA",-0- \n2,12,"aka","ABU YUSUF",-0- \n\x1a\n'
ADD = '1,21,-0- ,"Riga","Latvia",-0- \n2,22,-0- ,-0- ,-0- ,-0- \n'


@pytest.fixture
def folder(tmp_path):
    for name, text in (("sdn.csv", SDN), ("alt.csv", ALT), ("add.csv", ADD)):
        (tmp_path / name).write_text(text)
    return tmp_path


def policy_names(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"policy_id": "P1", "key": list(names)}).astype("str")


def match(*names: str, listed: pd.DataFrame, rate: float = 0.88) -> pd.DataFrame:
    parties = pd.DataFrame({"kind": "merchant", "key": [f"M{i}" for i in range(len(names))], "name": list(names)})
    return match_names(parties, listed, rate)


def listed_names(*names: str) -> pd.DataFrame:
    empty = pd.DataFrame(columns=["list_name", "listed_id", "name", "alias", "weak_aliases"], dtype="str")
    return listed_spellings(empty, policy_names(*names))


def test_the_published_files_are_read_with_aliases_countries_and_weak_aliases(folder):
    rows = read_folder(folder).sort_values(["listed_id", "alias"], ignore_index=True)
    assert rows[["list_name", "listed_id", "alias", "country"]].fillna("").to_numpy().tolist() == [
        ["OFAC SDN", "1", "NEVSKAYA PERSPEKTIVA", "Latvia"], ["OFAC SDN", "1", "ORLOW MARITIME TRADING", "Latvia"],
        ["OFAC SDN", "2", "ABU YUSUF", ""], ["OFAC SDN", "2", "AL-SHARQI, Yusuf Muhammad Hasan", ""],
    ]  # fmt: skip
    assert rows["weak_aliases"].dropna().unique().tolist() == ["OMT"]
    said = rows[["listed_id", "weak_aliases"]].drop_duplicates()
    assert said["listed_id"].is_unique  # else the rows of an entry would conflict


def test_published_files_in_the_input_become_the_sanctions_table(folder):
    clean = clean_inputs(read_inputs(folder), IngestSettings())
    assert clean["sanctions"][["listed_id", "name", "alias", "programme"]].to_numpy().tolist() == [
        ["1", "ORLOW MARITIME TRADING", "NEVSKAYA PERSPEKTIVA", "TEST1"],
        ["1", "ORLOW MARITIME TRADING", "ORLOW MARITIME TRADING", "TEST1"],
        ["2", "AL-SHARQI, Yusuf Muhammad Hasan", "ABU YUSUF", "TEST2"],
        ["2", "AL-SHARQI, Yusuf Muhammad Hasan", "AL-SHARQI, Yusuf Muhammad Hasan", "TEST2"],
    ]
    counts = clean["received_counts"].set_index("table")
    assert counts.loc["sanctions", ["rows_in_count", "rejected_count", "duplicate_count"]].tolist() == [4, 0, 0]


def test_a_folder_without_a_list_says_what_it_needs(tmp_path):
    with pytest.raises(InputError, match=r"Expected: sdn\.csv"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    "written",
    [
        "Yusuf Muhammad Hasan al-Sharqi", "AL SHARQI, Yousef Mohammed Hassan", "Yusuf Muhamad Hasan Al-Sharqi", "Юсуф Мухаммад Хасан аль-Шарки",
        "Yúsuf Muhammad Hasan al-Sharqī", "YUSUF M HASAN AL SHARQI",
    ],
)  # fmt: skip
def test_a_name_is_found_however_it_is_written(written, folder):
    listed = listed_spellings(read_folder(folder), policy_names())
    found = match(written, listed=listed)
    assert found[["listed_id", "listed_name"]].to_numpy().tolist() == [["2", "AL-SHARQI, Yusuf Muhammad Hasan"]]


def test_an_alias_leads_to_its_entry_and_is_named(folder):
    found = describe(match("Nevskaya Perspektiva OOO", listed=listed_spellings(read_folder(folder), policy_names())))
    assert found["detail"].tolist() == [
        "Merchant M0 Nevskaya Perspektiva OOO has the listed name ORLOW MARITIME TRADING (OFAC SDN, entry 1, spelled NEVSKAYA PERSPEKTIVA), likeness 1.00"
    ]


def test_a_weak_alias_has_to_be_more_alike_and_never_blocks(folder):
    found = match("OMT GmbH", "OMTA", listed=listed_spellings(read_folder(folder), policy_names()))
    assert found[["name", "alias", "is_weak"]].to_numpy().tolist() == [["OMT GmbH", "OMT", True]]


def test_umlauts_are_found_written_with_one_letter_and_with_two():
    listed = listed_names("Müller Größe Handels GmbH")
    assert match("Mueller Groesse Handels", "Muller Grosse Handels AG", listed=listed)["match_rate"].tolist() == [1, 1]


@pytest.mark.parametrize("innocent", ["Orion Marine", "Sharqi Restaurant", "Muhammad Hasan", "Hasan", "Sharqi Trading"])
def test_what_only_sounds_a_little_like_a_listed_name_is_left_alone(innocent, folder):
    assert match(innocent, listed=listed_spellings(read_folder(folder), policy_names())).empty


def test_chinese_characters_are_found_as_the_words_that_lists_write():
    listed = listed_names("ZHANG, Wei", "WANG, Xiaoming", "LI, Na")
    found = match("张伟", "王小明", "赵强", listed=listed)
    assert found[["name", "listed_name"]].to_numpy().tolist() == [["张伟", "ZHANG, Wei"], ["王小明", "WANG, Xiaoming"]]


def test_a_legal_form_written_out_does_not_count():
    listed = listed_names("Orlowbank Public Joint Stock Company", "AKTSIONERNOE OBSHCHESTVO NEVSKAYA VERF")
    found = match("Orlowbank", "ПАО Орловбанк", "Nevskaya Verf JSC", "Nevskaya Joint Stock Company", listed=listed)
    assert found["name"].tolist() == ["Orlowbank", "ПАО Орловбанк", "Nevskaya Verf JSC"]
    assert match("Limited Liability Company", "-", listed=listed_names("Joint Stock Company", "?")).empty


def test_words_that_many_listed_names_share_do_not_make_two_names_alike():
    many = [
        f"{word} international services"
        for word in "abra bolt cetus dorn elgin fasan gira hulk ibex jade kilo lima mira nova olga pax quil rho sol tau".split()
    ]
    listed = fold_names(pd.Series([*many, "stars international services"]))
    asked = fold_names(pd.Series(["park international services", "star international services"]))
    assert find_alike(asked, listed, 88)["asked"].tolist() == [1]


def test_spellings_of_one_name_sound_the_same():
    assert set(sounds(fold_names(pd.Series(["Mohammed", "Muhammad", "Mohamed"])))) == {"mhmt"}
    assert set(sounds(fold_names(pd.Series(["Khusayn Yusuf", "Husain Yousef"])))) == {"hsn sf"}


def test_legal_forms_and_order_do_not_count_but_a_name_of_them_alone_stays():
    folded = fold_names(pd.Series(["Ölüdeniz-Handels GmbH & Co. KG", "handels oludeniz", "S.A.", "N.V. Co"]))
    assert folded.tolist() == ["handels oludeniz", "handels oludeniz", "sa", "co nv"]
