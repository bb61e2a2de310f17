"""Words that headers use, in the forms that people type them."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping

from cxrd.findings import View
from cxrd.imaging.wording import (
    FRONTAL_CODES,
    LATERAL_CODES,
    frontal_in,
    lateral_in,
    names_chest,
    names_other_part,
    plain,
    says_nothing,
)

FOREIGN_CHESTS = (
    "Lunge", "Poumons", "Radiografía de tórax", "Torace", "Polmoni", "Tórax", "Pulmões", "Borstkas", "Lungor",
    "Bröstkorg", "Klatka piersiowa", "Płuca", "Грудная клетка", "Лёгкие", "Θώρακας", "Πνεύμονες", "Göğüs",
    "Akciğer grafisi", "Toraks", "肺", "胸片",
)  # fmt: skip
FOREIGN_OTHERS = (
    "Bauch", "Kniegelenk", "Bassin", "Genou", "Rodilla", "Cráneo", "Ginocchio", "Spalla", "Joelho", "Coluna", "Knie",
    "Bekken", "Knä", "Höft", "Miednica", "Czaszka", "Коленный сустав", "Череп", "Γόνατο", "Λεκάνη", "Karın",
    "Omurga", "Diz", "膝", "腹部", "骨盤", "LWS Wirbelsäule", "Colonna dorsale",
)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "frontal", "lateral"),
    [
        ("Thorax p.a.", View.PA, False),
        ("thorax a.p. liegend", View.AP, False),
        ("CHEST_PA", View.PA, False),
        ("W033 Thorax A-P", View.AP, False),
        ("Chest posteroanterior", View.PA, False),
        ("Antero-posterior projection", View.AP, False),
        ("view: PA", View.PA, False),
        ("PORTABLE AP SEMI-ERECT", View.AP, False),
        ("AP/PA", View.FRONTAL, False),
        ("THORAX FACE", View.FRONTAL, False),
        ("Tórax frontal", View.FRONTAL, False),
        ("Thorax pa/lat", View.PA, True),
        ("Thorax seitl.", None, True),
        ("Tórax perfil", None, True),
        ("Thorax de profil", None, True),
        ("Chest lat.", None, True),
        ("LATERO-LATERALE", None, True),
        ("L-Lateral", None, True),
        ("Schräg", None, True),
        ("RAO", None, True),
        ("LLO", None, True),
        ("L DECUBITUS", None, True),
        ("Bilateral chest", None, False),
        ("laterality unknown", None, False),
        ("Chest 1 view", None, False),
        ("Kapelle", None, False),
        ("Klatka piersiowa tylno-przednia", View.PA, False),
        ("Klatka piersiowa boczne", None, True),
        ("ОГК в прямой проекции", View.FRONTAL, False),
        ("Грудная клетка, боковая", None, True),
        ("ΘΩΡΑΚΟΣ F οπισθοπρόσθια", View.PA, False),
        ("Θώρακος πλάγια", None, True),
        ("Akciğer PA", View.PA, False),
        ("Akciğer yan", None, True),
        ("X-thorax dwars", None, True),
        ("Lungor sidobild", None, True),
        ("胸部正位", View.FRONTAL, False),
        ("胸部後前位", View.PA, False),
        ("胸部侧位", None, True),
        ("胸部側面", None, True),
        ("Tórax oblicua", None, True),
        ("Radiographie de face", View.FRONTAL, False),
    ],
)
def test_projections(words: str, frontal: View | None, lateral: bool) -> None:  # noqa: FBT001
    """Several languages, dots, accents and underscores."""
    assert (frontal, lateral) == (frontal_in(plain(words)), lateral_in(plain(words)))


@pytest.mark.parametrize(
    "part", ["CHEST", "Thorax", "TÓRAX", "LUNGS", "RIBS", "NON GRID CHEST", "胸部", "Brustkorb", *FOREIGN_CHESTS]
)
def test_the_chest(part: str) -> None:
    """By its name in several languages."""
    assert names_chest(plain(part))


@pytest.mark.parametrize(
    "part", ["KNEE", "ABDOMEN", "THORACIC SPINE", "Brustwirbelsäule", "TSPINE", "SKULL", "HAND", *FOREIGN_OTHERS]
)
def test_what_is_not_the_chest(part: str) -> None:
    """Also where a chest word stands in its name."""
    assert not names_chest(plain(part))


@pytest.mark.parametrize(
    ("words", "expected"), [("Abdomen AP", True), ("KUB", True), ("Chest and abdomen", False), ("portable", False)]
)
def test_descriptions_that_name_another_part(words: str, expected: bool) -> None:  # noqa: FBT001
    """Only where the chest is not named beside it."""
    assert expected == names_other_part(plain(words))


@pytest.mark.parametrize("part", ["", "UNKNOWN", "Other", "n/a", "?", "--"])
def test_what_consoles_write_for_nothing(part: str) -> None:
    """It is as good as blank."""
    assert says_nothing(plain(part))


@given(st.text(max_size=40))
def test_plain_words_stay_plain(words: str) -> None:
    """Whatever is typed, a second pass changes nothing."""
    assert plain(words) == plain(plain(words))


CURRENT: dict[str, str] = mapping["SRT"]
NAMED = cast("dict[str, dict[str, Any]]", concepts["SCT"]).values()
MEANINGS: dict[str, str] = {code: words.lower() for named in NAMED for code, (words, _) in named.items()}


def meaning(code: str) -> str:
    """What the standard's own tables say of a SNOMED CT or SRT code."""
    return MEANINGS[CURRENT.get(code, code)]


@pytest.mark.parametrize("code", sorted(LATERAL_CODES))
def test_codes_of_lateral_and_oblique_views_mean_that(code: str) -> None:
    """A wrong digit would be another concept, or none."""
    assert any(word in meaning(code) for word in ("lateral", "oblique", "medial"))


@pytest.mark.parametrize("code", sorted(FRONTAL_CODES.keys() - {"R-10214"}))
def test_codes_of_frontal_views_mean_that(code: str) -> None:
    """And none is oblique. R-10214 is left out: real headers use it for PA, the tables know its successor alone."""
    assert FRONTAL_CODES[code] == frontal_in(plain(meaning(code)))
    assert not lateral_in(plain(meaning(code)))


@pytest.mark.parametrize("words", FOREIGN_OTHERS)
def test_descriptions_in_other_languages_name_another_part(words: str) -> None:
    """Wherever the PACS stands."""
    assert names_other_part(plain(words))


@pytest.mark.parametrize(
    "words",
    [
        "MAIN ED PORTABLE",
        "Main Campus XR 1",
        "PORTABLE MAIN",
        "INCIDENTAL",
        "COLUMBUS ER 2",
        "Columbia portable",
        "Radiology Main",
    ],
)
def test_places_that_hold_a_parts_letters_name_no_part(words: str) -> None:
    """A department, a city, a word: the film is asked by its pixels."""
    assert not names_other_part(plain(words))
    assert names_chest(plain("Chest " + words))


@pytest.mark.parametrize(
    "words",
    ["Main", "MAIN DROITE FACE", "main g", "Main_gauche", "Radiographie de la main", "RX MAIN D", "LUMBAR",
     "Thoracolumbar", "thoraco-lumbale", "LUMB SP", "lombo-lumbosacral", "DENTAL", "Dental panoramic"],
)  # fmt: skip
def test_parts_that_share_letters_with_places_are_still_named(words: str) -> None:
    """Alone, with a side, or in a compound."""
    assert names_other_part(plain(words))


@pytest.mark.parametrize("words", FOREIGN_CHESTS)
def test_descriptions_in_other_languages_name_the_chest(words: str) -> None:
    """And no other part, whatever stands beside it."""
    assert not names_other_part(plain(words + " Abdomen"))


def test_a_site_adds_its_own_words() -> None:
    """Whole words, spelt as people spell them; a part of a word is none."""
    assert names_chest(plain("RTG hrudník"), ["hrudník"])
    assert names_other_part(plain("Břicho AP"), ["břicho"])
    assert lateral_in(plain("hrudník, boční"), ["boční"])
    assert View.FRONTAL == frontal_in(plain("predozadní"), ["předozadní"])
    assert not lateral_in(plain("bočnice"), ["boční"])


@pytest.mark.parametrize(
    ("typed", "word"), [("背腹后前位", "背腹"), ("立位背腹像", "背腹"), ("ทรวงอกท่าตรง", "ทรวงอก"), ("흉부정면", "흉부")]
)
def test_words_of_scripts_without_spaces_are_found_anywhere(typed: str, word: str) -> None:
    """Nothing parts them from their neighbours."""
    assert not names_chest(plain(typed))
    assert names_chest(plain(typed), [word])
