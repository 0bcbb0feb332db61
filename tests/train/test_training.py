import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from stages.common.errors import UserError
from stages.common.params import load_params
from stages.common.schema import Params, Runtime, Train
from stages.common.store import Store
from stages.model.device import Precision
from stages.train.distributed import World
from stages.train.history import best_epoch
from stages.train.initial import InitialModel
from stages.train.optimizer import Muon
from stages.train.stopping import Stopped, StopRequest
from stages.train.training import Training
from tests.conftest import change_params, meta_of
from tests.train.conftest import new_checkpoints, small_network

ALONE = World(torch.device("cpu"))
RUNTIME = Runtime(save_every_seconds=1e9, loader_workers=0)
HEADER = ["epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate"]


pytestmark = pytest.mark.usefixtures("in_empty_folder")


def new_training(
    store: Store,
    params: Train,
    pretrained: frozenset[str] = frozenset(),
    runtime: Runtime = RUNTIME,
    precision: Precision = "fp32",
) -> Training:
    meta = meta_of(store).model_copy(update={"precision": precision})
    start = InitialModel(small_network(), meta, pretrained)
    return Training(start, store, params, runtime, ALONE)


def run(training: Training) -> nn.Module:
    """Run a training that finds no checkpoint."""
    checkpoints = new_checkpoints()
    checkpoints.clear()
    return training.run(checkpoints, StopRequest())


def train(
    store: Store, params: Train, precision: Precision = "fp32"
) -> tuple[str, dict[str, torch.Tensor]]:
    weights = run(new_training(store, params, precision=precision)).state_dict()
    return Path("metrics/loss.csv").read_text(), weights


def test_two_trainings_are_equal_to_the_byte(store: Store, params: Params) -> None:
    first, first_weights = train(store, params.train)
    again, again_weights = train(store, params.train)
    assert again == first
    assert all(torch.equal(first_weights[name], again_weights[name]) for name in first_weights)


class StopAfter(StopRequest):
    """Asks to stop after some batches, counted over epochs."""

    def __init__(self, training: Training, batch: int) -> None:
        super().__init__()
        self.training, self.batch = training, batch

    @property
    def is_asked(self) -> bool:
        if self.training.state.schedulers[0].last_epoch == self.batch:
            self.signal_number = signal.SIGTERM
        return super().is_asked


@pytest.mark.parametrize(
    ("batch", "precision"),
    [*((batch, "fp32") for batch in (1, 2, 3, 4, 7, 9)), (2, "bf16"), (6, "bf16")],
)
def test_a_stopped_training_resumes_to_the_same_bytes(
    store: Store,
    params: Params,
    capsys: pytest.CaptureFixture[str],
    batch: int,
    precision: Precision,
) -> None:
    expected, weights = train(store, params.train, precision)
    new_checkpoints().clear()
    stopped = new_training(store, params.train, precision=precision)
    with pytest.raises(Stopped):
        stopped.run(new_checkpoints(), StopAfter(stopped, batch))
    assert stopped.state.schedulers[0].last_epoch == batch
    capsys.readouterr()
    resumed = new_training(store, params.train, precision=precision)
    again = resumed.run(new_checkpoints(), StopRequest()).state_dict()
    epoch, done = divmod(batch - 1, 3)
    assert f"resuming at epoch {epoch + 1}, batch {done + 2} " in capsys.readouterr().out
    assert Path("metrics/loss.csv").read_text() == expected
    assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.parametrize("state", [{"clock": {}}, {"clock": {"total": "long"}}, {"clock": 7}])
def test_a_checkpoint_without_sense_is_one_clear_line(
    store: Store, params: Params, state: dict[str, object]
) -> None:
    training = new_training(store, params.train)
    new_checkpoints().clear()
    new_checkpoints().save(state)
    with pytest.raises(
        UserError, match=r"checkpoint does not fit .*\(\w+Error: .*; start again with `FLOWERBED"
    ):
        training.run(new_checkpoints(), StopRequest())


def test_another_seed_is_another_training(store: Store, params: Params) -> None:
    first, _ = train(store, params.train)
    other, _ = train(store, params.train.model_copy(update={"seed": 1}))
    assert other != first


def test_loader_workers_change_no_byte(store: Store, params: Params) -> None:
    alone, weights = train(store, params.train)
    runtime = RUNTIME.model_copy(update={"loader_workers": 2})
    others = run(new_training(store, params.train, runtime=runtime)).state_dict()
    helped = Path("metrics/loss.csv").read_text()
    assert helped == alone
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_the_network_learns_to_tell_dark_from_light(store: Store, params: Params) -> None:
    longer = params.train.model_copy(update={"epochs": 12, "lr": 0.01, "color_jitter": 0.0})
    train(store, longer)
    losses = pd.read_csv("metrics/loss.csv")
    assert list(losses["epoch"]) == list(range(1, 13))
    assert losses["val_accuracy"].max() == 1
    assert losses["train_loss"].iloc[-1] < 0.6 * losses["train_loss"].iloc[0]


def test_the_kept_weights_are_those_of_the_best_epoch(store: Store, params: Params) -> None:
    training = new_training(store, params.train)
    run(training)
    history = training.state.history
    best = best_epoch(history)
    assert training.validate() == (best.val_loss, best.val_accuracy)
    assert best.val_loss == min(epoch.val_loss for epoch in history)


def test_a_diverging_run_stops_with_epoch_batch_and_advice(store: Store, params: Params) -> None:
    training = new_training(store, params.train)
    with torch.no_grad():
        next(training.state.network.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match=r"loss became nan at epoch 1, batch 1; lower train\.lr"):
        run(training)
    assert not Path("metrics/loss.csv").exists()


def test_a_validation_loss_that_is_not_finite_ends_the_run(store: Store, params: Params) -> None:
    training = new_training(store, params.train)
    with torch.no_grad():
        next(training.state.ema.module.buffers()).fill_(float("nan"))
    with pytest.raises(UserError, match=r"validation loss became nan at epoch 1; lower train\.lr"):
        run(training)


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


HEAD = {"head.weight", "head.bias"}
BODY = frozenset(small_network().state_dict()) - HEAD


def test_pretrained_weights_learn_at_a_lower_rate(store: Store, params: Params) -> None:
    slow = params.train.model_copy(update={"pretrained_lr_factor": 0.0})
    training = new_training(store, slow, BODY)
    run(training)
    weights, first = training.state.network.named_parameters(), small_network()
    moved = {name for name, weight in weights if not torch.equal(weight, first.get_parameter(name))}
    assert moved == HEAD


def test_a_training_without_a_better_epoch_ends_early(
    store: Store, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    still = params.train.model_copy(
        update={"lr": 1e-9, "epochs": 30, "patience": 2, "ema_decay": 0.0}
    )
    training = new_training(store, still)
    run(training)
    history = training.state.history
    assert len(history) == best_epoch(history).epoch + 2 < 30
    assert "no better epoch for 2 epochs: ended early" in capsys.readouterr().out


def sizes_of_batches(training: Training) -> list[int]:
    return [len(batch) for batch in training.epoch_batches(epoch=1)]


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(39, [40]), (13, [13, 13, 14]), (19, [19, 19, 2]), (64, [40])]
)
def test_a_last_batch_of_one_photo_joins_the_one_before(
    store: Store, params: Params, batch_size: int, sizes: list[int]
) -> None:
    training = new_training(store, params.train.model_copy(update={"batch_size": batch_size}))
    assert sizes_of_batches(training) == sizes
    run(training)
    assert training.state.schedulers[0].last_epoch == 3 * len(sizes)


def test_one_epoch_just_runs(store: Store, params_file: Path) -> None:
    change_params(params_file, {"train": {"epochs": 1}})
    run(new_training(store, load_params(params_file).train))
    assert len(pd.read_csv("metrics/loss.csv")) == 1


def test_one_photo_to_a_batch_norm_of_one_value_is_one_clear_line(
    store: Store, params: Params
) -> None:
    single = params.train.model_copy(update={"batch_size": 1, "first_image_size_px": 16})
    message = r"train\.batch_size is 1: with images of 16 px, a batch norm of the network gets one"
    with pytest.raises(UserError, match=message):
        run(new_training(store, single))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_validation_loss_does_not_depend_on_label_smoothing(
    store: Store, params: Params, smoothing: float
) -> None:
    smoothed = new_training(store, params.train.model_copy(update={"label_smoothing": smoothing}))
    plain = new_training(store, params.train.model_copy(update={"label_smoothing": 0.0}))
    assert smoothed.validate() == plain.validate()


def test_a_full_memory_says_what_to_lower(store: Store, params: Params) -> None:
    training = new_training(store, params.train)

    def fill(module: nn.Module, inputs: object) -> None:
        torch.empty(1 << 60)

    training.state.network.register_forward_pre_hook(fill)
    with pytest.raises(UserError, match=r"out of memory with batches of 16 photos of 16 x 16 px"):
        run(training)


def test_a_network_without_an_exact_form_is_named(store: Store, params: Params) -> None:
    training = new_training(store, params.train)

    def refuse(module: nn.Module, inputs: object) -> None:
        raise RuntimeError("pool_backward_cuda does not have a deterministic implementation, but")

    training.state.network.register_forward_pre_hook(refuse)
    with pytest.raises(UserError, match=r"model\.name: .*\(pool_backward_cuda\); choose another"):
        run(training)


def test_the_compiler_is_told_to_be_deterministic(
    store: Store, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", told.append)
    monkeypatch.setattr(nn.Module, "compile", lambda network: told.append("compile"))
    monkeypatch.setattr("stages.train.training.check_compiler", lambda: None)
    new_training(store, params.train.model_copy(update={"compile": True}))
    assert told == [True, "compile"]


def test_bfloat16_trains_and_differs(store: Store, params: Params) -> None:
    optimizers = new_training(store, params.train, precision="bf16").state.optimizers
    assert isinstance(optimizers[0], Muon)
    assert optimizers[0].precision == "bf16"
    exact, _ = train(store, params.train)
    rough, weights = train(store, params.train, precision="bf16")
    assert rough != exact
    assert all(weight.dtype != torch.bfloat16 for weight in weights.values())


def test_an_image_size_that_the_network_cannot_take_is_one_clear_line(
    store: Store, params: Params
) -> None:
    """A network for images of one size, as torchvision's vision transformers are."""
    one_size = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    with pytest.raises(UserError, match=r"model\.name: .* cannot take images of 16 px: .*shapes"):
        Training(InitialModel(one_size, meta_of(store)), store, params.train, RUNTIME, ALONE)
