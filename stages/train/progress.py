"""What a person sees of the training: a bar in a terminal, a plain line per epoch everywhere."""

import sys
import time
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from stages.train.batches import Batch
from stages.train.running_loss import RunningLoss

SECONDS_BETWEEN_LOOKS = 0.5
"""Reading the loss makes a GPU wait, so it is not done for every batch."""


def show_progress(
    batches: Iterable[Batch], losses: RunningLoss, title: str, photos: int, processes: int = 1
) -> Iterator[Batch]:
    """Yield the batches, showing a bar with loss, images/s and time left while a terminal is there.

    Raises
    ------
    UserError
        Soon after the loss is no longer finite.
    """
    bar = tqdm(
        total=photos,
        initial=losses.photos,
        desc=title,
        unit=" images",
        ncols=80,
        leave=False,
        disable=not sys.stderr.isatty(),
        bar_format="{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}, {rate_fmt}, {remaining} left",
    )
    last_look = time.monotonic()
    with bar:
        for batch in batches:
            yield batch
            bar.update(min(len(batch[1]) * processes, photos - bar.n))
            if time.monotonic() - last_look > SECONDS_BETWEEN_LOOKS:
                bar.set_postfix_str(f"loss {losses.mean():.3f}", refresh=False)
                last_look = time.monotonic()


def show_duration(seconds: float) -> str:
    """Write a duration for people: ``42 s``, ``7 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
