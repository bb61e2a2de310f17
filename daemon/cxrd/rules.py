"""Which films are admitted, as a site may decide it: a part of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cxrd.peers import Section
from cxrd.uid_names import StorageClass

Words = tuple[Annotated[str, Field(min_length=1, max_length=64)], ...]
Share = Annotated[float, Field(ge=0, le=1)]


class Admission(Section):
    """What is asked of a film before a model may judge it.

    Attributes
    ----------
    content : {"refuse", "note", "off"}
        What follows where the pixels contradict the header, or stand alone and show no frontal chest film.
    content_model : Path or None
        Package of the content check; None takes the one that comes with cxrd.
    frontal_named, frontal_unnamed : float
        Least probability of a frontal film, 0..1: where the header names a frontal view, and where it names none.
    inversion : {"correct", "refuse", "note"}
        What follows where the greys are inverted against the header: shown and judged the other way round,
        refused, or judged as they are.
    film_classes : tuple of str
        Storage classes whose images are films beside CR and DX: a vendor's private one, or radiofluoroscopy.
    film_modalities : tuple of str
        Modalities of films beside CR and DX.
    report_refused : bool
        Whether a study of which no film may be judged gets a report that says so, and why; its state stays ``refused``.
    smallest : int
        Pixels; a film with a shorter side is a thumbnail.
    burned_in, duplicates : {"note", "refuse"}
        What follows where the header says that text is burnt into the pixels, and where a study holds the same
        pixels twice (a refused copy leaves the one that came first).
    chest_words, other_words, frontal_words, lateral_words : tuple of str
        Words of this site for the chest, for other parts, and for projections, beside those of `cxrd.imaging.wording`;
        case and accents count for nothing.
    ignored_words : tuple of str
        Words that mean nothing at this site, though the lists know them: a device's "PROFIL 2" is no lateral film.
    """

    content: Literal["refuse", "note", "off"] = "refuse"
    content_model: Path | None = None
    frontal_named: Share = 0.2
    frontal_unnamed: Share = 0.7
    inversion: Literal["correct", "refuse", "note"] = "correct"
    film_classes: tuple[StorageClass, ...] = ()
    film_modalities: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9_ ]{1,16}$")], ...] = ()
    report_refused: bool = False
    smallest: int = Field(200, ge=1)
    burned_in: Literal["note", "refuse"] = "note"
    duplicates: Literal["note", "refuse"] = "note"
    chest_words: Words = ()
    other_words: Words = ()
    frontal_words: Words = ()
    lateral_words: Words = ()
    ignored_words: Words = ()


SHIPPED = Admission()
"""The rules of a site that decided nothing."""
