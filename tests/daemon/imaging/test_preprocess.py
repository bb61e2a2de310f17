"""A model's input, the same in training and in service."""

from __future__ import annotations

import numpy as np
import pytest

from cxrd.imaging.preprocess import Preprocess, apply, display


@pytest.mark.parametrize("name", ["plain", "dicom_clahe"])
@pytest.mark.parametrize("shape", [(64, 64), (500, 300), (20, 90)])
def test_shape_type_and_range(name: str, shape: tuple[int, int]) -> None:
    """Whatever comes in, float32 (1, H, W) in 0..1 goes out."""
    film = np.random.default_rng(0).random(shape, np.float32)
    found = apply(Preprocess.model_validate({"id": name, "height": 64, "width": 48}), film)
    assert (1, 64, 48) == found.shape
    assert np.float32 == found.dtype
    assert 0.0 <= float(found.min()) <= float(found.max()) <= 1.0


def test_resizing_by_area_keeps_the_mean() -> None:
    """No aliasing: a fine checkerboard becomes grey."""
    board = (np.indices((256, 256)).sum(0) % 2).astype(np.float32)
    np.testing.assert_allclose(apply(Preprocess(id="plain", height=64, width=64), board), 0.5, atol=1e-6)


def test_an_axis_that_grows_is_interpolated_and_one_that_shrinks_is_averaged() -> None:
    """Each axis for itself; enlarged by area, a small film would be made of blocks."""
    film = np.repeat(np.array([[0.0, 0.4], [0.2, 1.0]], np.float32), 3, axis=0)  # 6 rows, 2 columns
    film[[0, 3]] -= 0.1
    film[[2, 5]] += 0.1  # gone again when three rows are averaged
    wide = apply(Preprocess(id="plain", height=2, width=4), np.clip(film + 0.1, 0, 2) / 2)[0]
    left, right = np.array([0.05, 0.15]), np.array([0.25, 0.55])
    between = [left, left * 0.75 + right * 0.25, left * 0.25 + right * 0.75, right]
    np.testing.assert_allclose(wide, np.stack(between, axis=1), atol=1e-6)
    tall = apply(Preprocess(id="plain", height=4, width=2), np.ascontiguousarray(np.clip(film + 0.1, 0, 2).T / 2))[0]
    np.testing.assert_allclose(tall, wide.T, atol=1e-6)


def test_a_film_of_one_value_does_not_divide_by_zero() -> None:
    """A blank exposure is still an input."""
    found = apply(Preprocess(id="dicom_clahe", height=32, width=32), np.full((64, 64), 0.3, np.float32))
    assert np.isfinite(found).all()


def test_the_preview_keeps_the_aspect_and_never_grows() -> None:
    """A reader's picture, not a model's."""
    assert (100, 50) == display(np.zeros((1000, 500), np.float32), 100).shape
    assert (30, 20) == display(np.zeros((30, 20), np.float32), 100).shape


@pytest.mark.parametrize("name", ["plain", "dicom_clahe"])
def test_a_mirrored_view_of_a_film_is_an_input_like_any_other(name: str) -> None:
    """Mirrored films reach the model as a reversed view, not as a copy."""
    film = np.random.default_rng(0).random((96, 80), np.float32)
    wanted = Preprocess.model_validate({"id": name, "height": 32, "width": 32})
    np.testing.assert_array_equal(apply(wanted, film[:, ::-1].copy()), apply(wanted, film[:, ::-1]))


def test_equalisation_works_on_the_films_own_range() -> None:
    """Half the exposure, the same input: min and max are taken out first."""
    film = np.random.default_rng(0).random((128, 128), np.float32)
    wanted = Preprocess(id="dicom_clahe", height=64, width=64)
    np.testing.assert_allclose(apply(wanted, film), apply(wanted, film * 0.5 + 0.2), atol=2 / 255)
