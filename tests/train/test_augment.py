import numpy as np
import torch

from stages.common.classifier import normalize
from stages.common.params import Params
from stages.common.store import Store
from stages.train.augment import Augmentation, crop, draw_augmentation, recolor
from tests.conftest import card_of

IDENTITY = torch.tensor([[1.0, 1, 0, 0]])


def photos(count: int = 2, size: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_an_epochs_draws_depend_on_seed_and_epoch_only(params: Params) -> None:
    first = draw_augmentation(params.train, 1, 100)
    torch.testing.assert_close(draw_augmentation(params.train, 1, 100), first, rtol=0, atol=0)
    other_seed = params.train.model_copy(update={"seed": 1})
    assert not torch.equal(draw_augmentation(params.train, 2, 100), first)
    assert not torch.equal(draw_augmentation(other_seed, 1, 100), first)


def test_a_photos_augmentation_does_not_depend_on_its_batch(params: Params, store: Store) -> None:
    augment = Augmentation(params.train, card_of(store), n_photos=40, epoch=1, size_px=32)
    images = torch.from_numpy(store.images[:8].copy())
    whole = augment(images, torch.arange(8))
    alone = augment(images[5:6], torch.tensor([5]))
    torch.testing.assert_close(whole[5:6], alone)


def test_crops_stay_inside_the_photo(params: Params) -> None:
    scale, shift = draw_augmentation(params.train, 1, 10_000)[:, :4].chunk(2, dim=1)
    assert (scale.abs() + shift.abs()).max() <= 1 + 1e-6


def test_crops_have_the_stated_area(params: Params) -> None:
    draws = draw_augmentation(params.train, 1, 10_000)
    area = draws[:, :2].prod(dim=1).abs()
    assert area.max() <= 1
    assert area.min() > 0.9 * params.train.min_crop_area
    assert 0.45 < (draws[:, 0] < 0).float().mean() < 0.55  # mirrored


def test_no_crop_is_the_photo_itself() -> None:
    torch.testing.assert_close(crop(photos(), IDENTITY.expand(2, 4), 16), photos())


def test_a_negative_scale_mirrors() -> None:
    draws = IDENTITY.clone()
    draws[0, 0] = -1
    torch.testing.assert_close(crop(photos(1), draws, 16), photos(1).flip(3))


def test_a_quarter_crop_is_that_quarter() -> None:
    top_left = torch.tensor([[0.5, 0.5, -0.5, -0.5]])
    torch.testing.assert_close(crop(photos(1), top_left, 8), photos(1)[:, :, :8, :8])


def test_neutral_factors_keep_the_colors() -> None:
    kept = recolor(photos(), torch.ones(2, 3), torch.zeros(3), torch.ones(3))
    torch.testing.assert_close(kept, photos())


def test_neutral_factors_only_normalize(store: Store) -> None:
    card = card_of(store)
    images = torch.from_numpy(store.images[:4].copy())
    mean, std = 255 * torch.tensor(card.mean), 255 * torch.tensor(card.std)
    ours = recolor(images.permute(0, 3, 1, 2).float(), torch.ones(4, 3), mean, std)
    torch.testing.assert_close(ours, normalize(images, card.mean, card.std), atol=1e-5, rtol=0)


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
    augment = Augmentation(params.train, card_of(store), n_photos=40, epoch=1, size_px=16)
    batch = augment(torch.from_numpy(store.images[:4].copy()), torch.arange(4))
    assert batch.shape == (4, 3, 16, 16)
    assert batch.is_contiguous(memory_format=torch.channels_last)
