"""Who trains, who tunes, who judges: by patient, in equal shares, the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrd_models.data.manifest import SPLITS
from cxrd_models.dataset.rows import Row
from cxrd_models.dataset.splits import check_classes, divide, parse_ratios, settle
from cxrd_models.dataset.subset import age_bands, subset
from cxrd_models.errors import DataError

RATIOS = parse_ratios("0.8,0.1,0.1")
CLASSES = ("covid", "normal", "viral")


def film(number: int, patient: str, label: str = "covid", **changes: str) -> Row:
    """A film of a patient."""
    labels = {"label_covid3": label}
    return Row(file=f"{number}.png", source="s", labels=labels, patient_id=patient, orig_file=str(number)).model_copy(
        update=changes
    )


@st.composite
def collections(draw: st.DrawFn) -> list[Row]:
    """Films of up to sixty patients, each of one class and with one to six films."""
    patients = draw(st.lists(st.tuples(st.sampled_from(CLASSES), st.integers(1, 6)), min_size=3, max_size=60))
    rows = [film(0, f"p{i}", label) for i, (label, many) in enumerate(patients) for _ in range(many)]
    return [row.model_copy(update={"file": f"{i}.png"}) for i, row in enumerate(rows)]


def held(rows: Sequence[Row]) -> dict[str, int]:
    """Number of films in each split."""
    count = Counter(row.split for row in rows)
    return {split: count[split] for split in SPLITS}


@settings(max_examples=150, deadline=None)
@given(collections(), st.integers(0, 5), st.sampled_from(["0.8,0.1,0.1", "0.6,0.2,0.2", "7,1,2"]))
def test_a_patient_is_in_one_split_and_shares_are_met(rows: list[Row], seed: int, text: str) -> None:
    """However many films a patient brings; a share is missed by no more than the others' last patients, per class."""
    ratios = parse_ratios(text)
    found = settle(rows, ratios, seed)
    home: dict[str, set[str]] = defaultdict(set)
    for row in found:
        home[row.patient_id].add(row.split)
    assert all(len(splits) == 1 for splits in home.values())
    most = [max(Counter(r.patient_id for r in rows if r.classes()[0][1] == c).values(), default=0) for c in CLASSES]
    for split, films in held(found).items():
        assert abs(films - ratios[split] * len(rows)) <= 2 * sum(most)


@settings(max_examples=100, deadline=None)
@given(collections(), st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_of_the_films_does_not_matter(rows: list[Row], seed: int, chance: random.Random) -> None:
    """The same films in any order give every patient to the same split."""
    shuffled = chance.sample(rows, len(rows))
    assert divide(rows, RATIOS, seed) == divide(shuffled, RATIOS, seed)


@settings(max_examples=100, deadline=None)
@given(collections(), st.integers(0, 5))
def test_three_patients_of_a_class_are_enough_for_three_splits(rows: list[Row], seed: int) -> None:
    """A class that three patients show is in each split."""
    patients = {c: {r.patient_id for r in rows if r.labels["label_covid3"] == c} for c in CLASSES}
    found = settle([r for r in rows if len(patients[r.labels["label_covid3"]]) >= 3], RATIOS, seed)
    shown = {(row.split, row.labels["label_covid3"]) for row in found}
    assert {(split, row.labels["label_covid3"]) for split in SPLITS for row in found} == shown


def test_shares_of_one_film_each_are_exact_in_every_class_and_source() -> None:
    """Of a hundred patients of each class and source, eighty train, ten tune and ten judge."""
    rows = [film(i, f"p{i}", CLASSES[i % 3], source="ab"[i // 3 % 2]) for i in range(600)]
    found = settle(rows, RATIOS, 0)
    for label in CLASSES:
        for source in "ab":
            mine = [r for r in found if r.source == source and r.labels["label_covid3"] == label]
            assert {"train": 80, "val": 10, "test": 10} == held(mine)


def test_a_patient_of_many_films_does_not_fill_a_small_split() -> None:
    """Where one patient brings half of the films, and the next a quarter, both train."""
    rows = [film(i, "often") for i in range(50)] + [film(50 + i, "again") for i in range(25)]
    rows += [film(75 + i, f"p{i}") for i in range(25)]
    found = settle(rows, RATIOS, 0)
    assert {"train": 80, "val": 10, "test": 10} == held(found)
    assert {"train"} == {row.split for row in found if row.patient_id in ("often", "again")}


def test_another_seed_divides_otherwise() -> None:
    """And the same one alike."""
    rows = [film(i, f"p{i}", CLASSES[i % 3]) for i in range(60)]
    assert divide(rows, RATIOS, 1) == divide(rows, RATIOS, 1) != divide(rows, RATIOS, 2)


def test_a_given_test_stays_and_val_comes_from_train() -> None:
    """Where a source brings train and test alone."""
    rows = [film(i, f"p{i // 2}", split="test" if i >= 80 else "train") for i in range(100)]
    found = settle(rows, RATIOS, 0)
    assert {"train": 72, "val": 8, "test": 20} == held(found)
    assert all(row.split == "test" for row in found[80:])


def test_what_a_film_brings_is_kept_where_others_bring_nothing() -> None:
    """A few films that are given to train stay there, and a patient's other films follow; the rest is divided."""
    rows = [film(i, f"p{i % 50}", split="train" if i < 10 else "") for i in range(100)]
    found = settle(rows, RATIOS, 0)
    assert {"train"} == {row.split for row in found if int(row.patient_id[1:]) < 10}
    assert {"train": 20 + 64, "val": 8, "test": 8} == held(found)


def test_a_patient_given_to_two_splits_is_refused() -> None:
    """Both films are named."""
    rows = [film(1, "p1", split="train"), film(2, "p1", split=""), film(3, "p1", split="test")]
    with pytest.raises(DataError, match="patient p1 is given to two splits: 1 to train, 3 to test"):
        settle(rows, RATIOS, 0)


def test_a_rare_sign_may_lack_where_one_label_may_not() -> None:
    """Of fourteen findings it is a note, of exclusive classes an error; an empty split is always one."""
    many = [film(i, f"p{i}", split=s).model_copy(update={"labels": {"nih14": "Mass"}}) for i, s in enumerate(SPLITS)]
    rare = film(9, "p9", split="train").model_copy(update={"labels": {"nih14": "Hernia|Mass"}})
    assert ("no Hernia in val", "no Hernia in test") == check_classes([*many, rare])
    one = [film(i, f"p{i}", split=split) for i, split in enumerate(SPLITS)]
    with pytest.raises(DataError, match="class 'viral' of label_covid3 is absent from split val"):
        check_classes([*one, film(9, "p9", "viral", split="train")])
    with pytest.raises(DataError, match="no film of 2 is in split test"):
        check_classes(one[:2])


def people() -> st.SearchStrategy[list[Row]]:
    """Films of people of some ages, sexes and classes."""
    person = st.tuples(st.integers(-1, 99), st.sampled_from(["F", "M", ""]), st.sampled_from(CLASSES))
    return st.lists(person, min_size=1, max_size=200).map(
        lambda found: [
            film(i, f"p{i}", label, age=str(age) if age >= 0 else "", sex=sex)
            for i, (age, sex, label) in enumerate(found)
        ]
    )


@settings(max_examples=100, deadline=None)
@given(people(), st.floats(0.01, 1), st.integers(0, 3))
def test_a_subset_keeps_the_shares_of_age_sex_and_class(rows: list[Row], part: float, seed: int) -> None:
    """Every cell of the three is met to less than one film, and the subset has the size that was asked for."""
    size = max(1, int(part * len(rows)))
    chosen = subset(rows, size, seed, "label_covid3")
    cell = {
        row.file: (band, row.sex, row.labels["label_covid3"]) for row, band in zip(rows, age_bands(rows), strict=True)
    }
    whole, kept = Counter(cell.values()), Counter(cell[row.file] for row in chosen)
    assert size == len({row.file for row in chosen}) == len(chosen)
    assert all(abs(kept[key] - many * size / len(rows)) < 1 for key, many in whole.items())


def test_a_subset_is_drawn_by_its_seed_alone() -> None:
    """The order of the films does not matter; another seed draws others; the source's order is kept."""
    rows = [film(i, f"p{i}", CLASSES[i % 3], age=str(i % 90), sex="FM"[i % 2]) for i in range(300)]
    names = [row.file for row in subset(rows, 50, 1, "label_covid3")]
    assert names == [row.file for row in subset(rows[::-1], 50, 1, "label_covid3")][::-1]
    assert names != [row.file for row in subset(rows, 50, 2, "label_covid3")]
    with pytest.raises(DataError, match="a subset of 301 films cannot be taken from 300"):
        subset(rows, 301, 1, "label_covid3")
