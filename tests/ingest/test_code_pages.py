"""A text without a mark is read in the code page under which it reads like a language, however short it is."""

from __future__ import annotations

import pytest

from atlas_lib.ingest.code_pages import code_page

TEXTS = {
    "German": (["Überweisung Müller", "Gebühr für Kontoführung", "Rückzahlung März", "Größe, Straßenbau"], ["cp1252", "cp850", "mac_roman"]),
    "French": (["Prélèvement électricité", "Société Générale", "Règlement reçu «net»", "Août, intérêts débiteurs n° 12"], ["cp1252", "iso8859_15"]),
    "Spanish": (["Comisión de gestión", "Devolución señor Muñoz", "Nómina año", "Recibo teléfono"], ["cp1252"]),
    "Polish": (["Wpłata za fakturę", "Przelew wychodzący", "Żabka Łódź", "Prowizja za październik"], ["cp1250", "iso8859_2"]),
    "Czech": (["Příkaz k úhradě", "Poplatek za vedení účtu", "Nájemné září", "Žádost o platbu"], ["cp1250", "iso8859_2"]),
    "Hungarian": (["Átutalás, műszaki bolt", "Előfizetés", "Közüzemi díj", "Törlesztőrészlet"], ["cp1250"]),
    "Russian": (["Оплата по договору", "Комиссия банка", "Иван Петров", "Зарплата за октябрь № 3"], ["cp1251"]),
}  # fmt: skip
CASES = [(language, page) for language, (_, pages) in TEXTS.items() for page in pages]


@pytest.mark.parametrize("times", [1, 20])
@pytest.mark.parametrize(("language", "page"), CASES)
def test_a_text_of_four_lines_or_many_is_read_as_it_was_written(language, page, times):
    text = "".join(f"DE1;03.10.2026;{n},50;EUR;{line}\n" for n in range(times) for line in TEXTS[language][0])
    content = text.encode(page)
    assert content.decode(code_page(content)) == text


def test_an_alphabet_of_another_kind_is_left_to_statistics_and_never_fails():
    assert code_page("Πληρωμή τιμολογίου\n".encode("cp1253") * 30)
    assert code_page(bytes(range(256))) == "cp850"  # the first that knows every byte
    assert code_page(b"only ascii") == "cp1252"
