import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from stages.common.errors import UserError
from stages.common.network import build_flowernet
from stages.common.params import Params, Train
from stages.common.store import Store
from stages.train.augment import Augmentation
from stages.train.batches import SplitPhotos, load_batches
from stages.train.loop import Learner, train_one_epoch, validate
from stages.train.processes import Processes
from stages.train.run import Run
from stages.train.running_loss import RunningLoss
from stages.train.saving import Saver
from stages.train.schedule import draw_order
from stages.train.stopping import Stopped, StopRequest
from stages.train.vault import Vault
from tests.conftest import card_of

ALONE = Processes(torch.device("cpu"))


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


HEADER = ["epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate"]


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_flowernet(8, 2)


def new_run(store: Store, params: Train, known: frozenset[str] = frozenset()) -> Run:
    return Run(network(), card_of(store), store, params, ALONE, known)


def saver(stop: StopRequest | None = None, every_seconds: float = 1e9) -> Saver:
    return Saver(Vault(Path("states"), {"a": "key"}), every_seconds, stop or StopRequest())


def train(store: Store, params: Train) -> tuple[str, dict[str, torch.Tensor]]:
    weights = new_run(store, params).train(saver()).state_dict()
    return Path("metrics/loss.csv").read_text(), weights


def test_two_runs_are_equal_to_the_byte(store: Store, params: Params) -> None:
    first, first_weights = train(store, params.train)
    again, again_weights = train(store, params.train)
    assert again == first
    assert all(torch.equal(first_weights[name], again_weights[name]) for name in first_weights)


def stop_after(run: Run, stop: StopRequest, batch: int) -> None:
    """Request a stop while the run's given batch, counted over epochs, is computed."""
    update = run.learner.averaged.update

    def update_and_stop(network: nn.Module) -> None:
        update(network)
        if run.learner.schedule.done == batch:
            stop.signal_number = signal.SIGTERM

    run.learner.averaged.update = update_and_stop  # type: ignore[method-assign]


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 7, 9])
def test_a_stopped_run_goes_on_to_the_same_bytes(store: Store, params: Params, batch: int) -> None:
    expected, weights = train(store, params.train)
    stop = StopRequest()
    stopped = new_run(store, params.train)
    stop_after(stopped, stop, batch)
    with pytest.raises(Stopped):
        stopped.train(saver(stop))
    resumed = new_run(store, params.train)
    state = Vault(Path("states"), {"a": "key"}).load()
    assert state is not None
    resumed.restore(state)
    assert resumed.learner.schedule.done == batch
    again = resumed.train(saver()).state_dict()
    assert Path("metrics/loss.csv").read_text() == expected
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_another_seed_is_another_run(store: Store, params: Params) -> None:
    first, _ = train(store, params.train)
    other, _ = train(store, params.train.model_copy(update={"seed": 1}))
    assert other != first


def test_loader_workers_change_no_byte(store: Store, params: Params) -> None:
    alone, weights = train(store, params.train)
    helped, others = train(store, params.train.model_copy(update={"loader_workers": 2}))
    assert helped == alone
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_the_network_learns_to_tell_dark_from_light(store: Store, params: Params) -> None:
    longer = params.train.model_copy(update={"epochs": 8, "lr": 0.01, "color_jitter": 0.0})
    train(store, longer)
    losses = pd.read_csv("metrics/loss.csv")
    assert list(losses["epoch"]) == list(range(1, 9))
    assert losses["val_accuracy"].max() == 1
    assert losses["train_loss"].iloc[-1] < 0.6 * losses["train_loss"].iloc[0]


def test_the_kept_weights_are_those_of_the_best_epoch(store: Store, params: Params) -> None:
    run = new_run(store, params.train)
    run.train(saver())
    assert run._validate() == (run.best.val_loss, run.best.val_accuracy)
    assert run.best.val_loss == min(epoch.val_loss for epoch in run.history)


def test_a_diverging_run_stops_with_epoch_batch_and_advice(store: Store, params: Params) -> None:
    run = new_run(store, params.train)
    with torch.no_grad():
        next(run.learner.network.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match=r"loss became nan at epoch 1, batch 1; lower train\.lr"):
        run.train(saver())
    assert not Path("metrics/loss.csv").exists()


def test_a_validation_loss_that_is_not_finite_ends_the_run(store: Store, params: Params) -> None:
    run = new_run(store, params.train)
    with torch.no_grad():
        next(run.learner.averaged.network.buffers()).fill_(float("nan"))
    with pytest.raises(UserError, match=r"validation loss became nan at epoch 1; lower train\.lr"):
        run.train(saver())


def test_one_batch_can_be_overfitted(store: Store, params: Params) -> None:
    quiet = params.train.model_copy(
        update={"label_smoothing": 0.0, "color_jitter": 0.0, "min_crop_area": 1.0, "lr": 0.01}
    )
    learner = Learner(network(), quiet, 20, ALONE)
    photos = SplitPhotos.of(store, "train")
    augment = Augmentation(quiet, card_of(store), len(photos), epoch=1, size_px=32)
    batch = list(load_batches(photos, draw_order(0, 1, 40)[:16], 16, 0, ALONE))
    losses = RunningLoss(1, ALONE)
    train_one_epoch(learner, batch * 40, augment, losses)
    last = RunningLoss(2, ALONE)
    train_one_epoch(learner, batch, augment, last)
    assert last.mean() < 0.05 < losses.mean()


def test_validation_weights_a_short_last_batch_by_size(store: Store, params: Params) -> None:
    learner = Learner(network(), params.train, 3, ALONE)
    run = new_run(store, params.train)
    photos = SplitPhotos.of(store, "train")
    order = draw_order(0, 1, 40)
    by_16, by_40 = (
        validate(learner, load_batches(photos, order, size, 0, ALONE), run._to_input)
        for size in (16, 40)
    )
    assert by_16 == pytest.approx(by_40)


def test_every_epoch_prints_a_line_of_80_columns(
    store: Store, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    train(store, params.train)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [*HEADER, "images/s", "left"]
    rows = pd.read_csv("metrics/loss.csv").itertuples(index=False)
    best = int(lines[4].removeprefix("kept epoch ").partition(",")[0])
    for line, row in zip(lines[1:4], rows, strict=True):
        epoch, train_loss, _, accuracy, *_ = line.split()
        assert epoch == f"{row.epoch}/3"
        assert train_loss == f"{row.train_loss:.3f}"
        assert accuracy.rstrip("*") == f"{row.val_accuracy:.1%}"
    stars = [number for number, line in enumerate(lines[1:4], start=1) if "*" in line]
    assert stars[-1] == best
    assert max(map(len, lines)) <= 80


def test_frozen_weights_and_their_batch_norms_keep_still_and_then_learn(
    store: Store, params: Params
) -> None:
    head = {"head.weight", "head.bias"}
    known = frozenset(network().state_dict()) - head
    before = network().state_dict()
    frozen = params.train.model_copy(update={"freeze_epochs": 1, "epochs": 2})
    run = new_run(store, frozen, known)
    run._train_epoch(1, saver())
    after = {name: value.clone() for name, value in run.learner.network.state_dict().items()}
    assert {name for name in after if not torch.equal(after[name], before[name])} == head
    run.losses = RunningLoss(2, ALONE)
    run._train_epoch(2, saver())
    later = run.learner.network.state_dict()
    assert all(not torch.equal(later[name], after[name]) for name in known if "weight" in name)


def test_pretrained_weights_learn_at_a_lower_rate(store: Store, params: Params) -> None:
    known = frozenset(network().state_dict()) - {"head.weight", "head.bias"}
    slow = params.train.model_copy(update={"pretrained_lr_factor": 0.0})
    run = new_run(store, slow, known)
    run._train_epoch(1, saver())
    weights, first = (
        dict(run.learner.network.named_parameters()),
        dict(network().named_parameters()),
    )
    moved = {name for name in weights if not torch.equal(weights[name], first[name])}
    assert moved == {"head.weight", "head.bias"}


def test_a_training_without_a_better_epoch_ends_early(
    store: Store, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    still = params.train.model_copy(update={"lr": 1e-9, "epochs": 30, "patience": 2})
    run = new_run(store, still.model_copy(update={"averaging_decay": 0.0}))
    run.train(saver())
    assert len(run.history) == run.best.epoch + 2 < 30
    assert "no better epoch for 2 epochs: ended early" in capsys.readouterr().out


@pytest.mark.parametrize("batch_size", [41, 39, 13])
def test_a_batch_size_that_does_not_fit_is_refused(
    store: Store, params: Params, batch_size: int
) -> None:
    with pytest.raises(UserError, match=r"params\.yaml: train\.batch_size"):
        new_run(store, params.train.model_copy(update={"batch_size": batch_size}))


def test_a_full_memory_says_what_to_lower(store: Store, params: Params) -> None:
    run = new_run(store, params.train)

    def fill(images: torch.Tensor) -> torch.Tensor:
        return images.new_empty(1 << 60)

    run.learner.forward = fill
    with pytest.raises(UserError, match=r"out of memory with batches of 16 photos of 16 x 16 px"):
        run.train(saver())


def test_a_network_without_an_exact_form_is_named(store: Store, params: Params) -> None:
    run = new_run(store, params.train)

    def refuse(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("pool_backward_cuda does not have a deterministic implementation, but")

    run.learner.forward = refuse
    with pytest.raises(UserError, match=r"model\.name: .*\(pool_backward_cuda\); choose another"):
        run.train(saver())


def test_bfloat16_trains_and_differs(store: Store, params: Params) -> None:
    exact, _ = train(store, params.train)
    rough, weights = train(store, params.train.model_copy(update={"precision": "bf16"}))
    assert rough != exact
    assert all(weight.dtype != torch.bfloat16 for weight in weights.values())


def test_an_image_size_that_the_network_cannot_take_is_one_clear_line(
    store: Store, params: Params
) -> None:
    """A network for images of one size, as torchvision's vision transformers are."""
    one_size = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    with pytest.raises(UserError, match=r"model\.name: .* cannot take images of 16 px: .*shapes"):
        Run(one_size, card_of(store), store, params.train, ALONE)
