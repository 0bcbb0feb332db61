import numpy as np
import pytest
import torch

from stages.common.schema import Params, Train
from stages.common.store import Store
from stages.model.classifier import normalize
from stages.train.augment import (
    DISTORTIONS,
    Augmentation,
    Draws,
    crop,
    draw_augmentation,
    draw_distortions,
    erase,
    posterize,
    recolor,
    sharpen,
)
from tests.conftest import meta_of

IDENTITY = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])


def distorted(params: Params, strength: float) -> Train:
    return params.train.model_copy(update={"distortion": strength})


def same(first: Draws, second: Draws) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def photos(count: int = 2, size: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_an_epochs_draws_depend_on_seed_and_epoch_only(params: Params) -> None:
    first = draw_augmentation(params.train, 1, 100)
    assert same(draw_augmentation(params.train, 1, 100), first)
    other_seed = params.train.model_copy(update={"seed": 1})
    assert not same(draw_augmentation(params.train, 2, 100), first)
    assert not same(draw_augmentation(other_seed, 1, 100), first)


@pytest.mark.parametrize("strength", [0, 1])
def test_a_photos_augmentation_does_not_depend_on_its_batch(
    params: Params, store: Store, strength: float
) -> None:
    augment = Augmentation(distorted(params, strength), meta_of(store), 40, epoch=1, size_px=32)
    images = torch.from_numpy(store.images[:8].copy())
    whole = augment(images, torch.arange(8))
    for place in range(8):
        alone = augment(images[place : place + 1], torch.tensor([place]))
        torch.testing.assert_close(whole[place : place + 1], alone)


def test_crops_stay_inside_the_photo(params: Params) -> None:
    grid = draw_augmentation(distorted(params, 0), 1, 10_000).grid
    assert (grid[:, :, :2].abs().sum(dim=2) + grid[:, :, 2].abs()).max() <= 1 + 1e-6


def test_crops_have_the_stated_area(params: Params) -> None:
    grid = draw_augmentation(distorted(params, 0), 1, 10_000).grid
    area = torch.linalg.det(grid[:, :, :2]).abs()
    assert area.max() <= 1 + 1e-6
    assert area.min() > 0.9 * params.train.min_crop_area
    assert 0.45 < (grid[:, 0, 0] < 0).float().mean() < 0.55  # mirrored
    assert (draw_augmentation(distorted(params, 0), 1, 10_000, False).grid[:, 0, 0] > 0).all()


def test_no_crop_is_the_photo_itself() -> None:
    torch.testing.assert_close(crop(photos(), IDENTITY.expand(2, 2, 3), 16), photos())


def test_a_negative_scale_mirrors() -> None:
    grid = IDENTITY.clone()
    grid[0, 0, 0] = -1
    torch.testing.assert_close(crop(photos(1), grid, 16), photos(1).flip(3))


def test_a_quarter_crop_is_that_quarter() -> None:
    top_left = torch.tensor([[[0.5, 0, -0.5], [0, 0.5, -0.5]]])
    torch.testing.assert_close(crop(photos(1), top_left, 8), photos(1)[:, :, :8, :8])


def test_a_quarter_turn_is_one() -> None:
    turned = torch.tensor([[[0.0, -1, 0], [1, 0, 0]]])
    expected = torch.rot90(photos(1), 1, dims=(2, 3))
    torch.testing.assert_close(crop(photos(1), turned, 16), expected, rtol=1e-4, atol=1e-4)


def test_a_photo_gets_at_most_one_distortion_and_each_is_as_frequent() -> None:
    amounts = draw_distortions(np.random.default_rng(0), 10_000, 1)
    table = np.stack(list(amounts.values()))
    assert ((table != 0).sum(axis=0) <= 1).all()
    for name, largest in DISTORTIONS.items():
        assert np.abs(amounts[name]).max() <= largest
        if largest:
            assert 0.08 < (amounts[name] != 0).mean() < 0.12
            assert np.abs(amounts[name]).max() > 0.95 * largest


def test_half_the_strength_is_half_of_everything() -> None:
    full, half = (draw_distortions(np.random.default_rng(0), 100, s) for s in (1, 0.5))
    for name in DISTORTIONS:
        np.testing.assert_allclose(half[name], full[name] / 2)


def test_without_distortion_the_draws_are_neutral(params: Params) -> None:
    draws = draw_augmentation(distorted(params, 0), 1, 100)
    images = 255 * torch.rand(100, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sharpen(images, draws.sharpness), images, rtol=0, atol=1e-3)
    assert torch.equal(posterize(images, draws.levels), images)
    assert torch.equal(erase(images, draws.hole), images)
    assert (draws.grid[:, 0, 1] == 0).all()
    assert (draws.grid[:, 1, 0] == 0).all()


def test_sharpening_by_hand() -> None:
    image = torch.full((1, 3, 5, 5), 100.0)
    image[..., 2, 2] = 190  # its neighborhood has a mean of 110
    sharper = sharpen(image, torch.tensor([0.5]))
    assert sharper[0, 0, 2, 2] == pytest.approx(190 + 0.5 * 80)
    assert sharper[0, 0, 1, 1] == pytest.approx(100 - 0.5 * 10)
    blurred = sharpen(image, torch.tensor([-1.0]))
    assert blurred[0, 0, 2, 2] == pytest.approx(110)
    most = sharpen(image, torch.tensor([20.0]))
    assert (most.min().item(), most.max().item()) == (0, 255)


def test_posterizing_by_hand() -> None:
    image = torch.tensor([0.0, 60, 64, 255]).expand(1, 3, 1, 4)
    found = posterize(image, torch.tensor([4.0]))
    assert found[0, 0, 0].tolist() == [31.5, 31.5, 95.5, 223.5]


def test_an_erased_square_has_the_mean_color_and_the_rest_is_kept() -> None:
    found = erase(photos(1, 8), torch.tensor([[-0.5, 0.5, 0.3]]))
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[5:7, 1:3] = True  # below the middle, on the left
    assert (found[0, :, inside] == 0).all()
    assert torch.equal(found[0, :, ~inside], photos(1, 8)[0, :, ~inside])


def test_neutral_factors_keep_the_colors() -> None:
    kept = recolor(photos(), torch.ones(2, 3), torch.zeros(3), torch.ones(3))
    torch.testing.assert_close(kept, photos())


def test_neutral_factors_only_normalize(store: Store) -> None:
    meta = meta_of(store)
    images = torch.from_numpy(store.images[:4].copy())
    mean, std = 255 * torch.tensor(meta.mean), 255 * torch.tensor(meta.std)
    ours = recolor(images.permute(0, 3, 1, 2).float(), torch.ones(4, 3), mean, std)
    torch.testing.assert_close(ours, normalize(images, meta.mean, meta.std), atol=1e-5, rtol=0)


def test_recolor_by_hand() -> None:
    def with_factors(images: torch.Tensor, *factors: float) -> torch.Tensor:
        return recolor(images, torch.tensor([factors]), torch.zeros(3), torch.ones(3))

    gray = torch.full((1, 3, 2, 2), 0.5)
    torch.testing.assert_close(with_factors(gray, 1.25, 1, 1), gray + 0.25)
    no_saturation = with_factors(photos(1), 1, 1, 0)
    red, green, blue = photos(1)[0]
    torch.testing.assert_close(no_saturation[0, 0], 0.299 * red + 0.587 * green + 0.114 * blue)
    torch.testing.assert_close(no_saturation[:, 0], no_saturation[:, 2])
    flat = with_factors(photos(1), 1, 0, 1)
    torch.testing.assert_close(flat, photos(1).mean().expand(1, 3, 16, 16), atol=0.1, rtol=0)
    np.testing.assert_allclose(flat.std(), 0, atol=1e-6)
    harder = with_factors(photos(1), 1, 1.5, 1)
    level = photos(1).mean()
    torch.testing.assert_close(harder, (photos(1) - level) * 1.5 + level)


def test_augmented_batches_are_channels_last(params: Params, store: Store) -> None:
    augment = Augmentation(params.train, meta_of(store), n_photos=40, epoch=1, size_px=16)
    batch = augment(torch.from_numpy(store.images[:4].copy()), torch.arange(4))
    assert batch.shape == (4, 3, 16, 16)
    assert batch.is_contiguous(memory_format=torch.channels_last)
