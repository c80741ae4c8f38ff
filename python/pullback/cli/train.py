"""`pullback train`: the main job, from data to weights, figures and pictures.

The data are parted into training, validation and test images, class by class. AdamW runs on cross-entropy with smoothed
labels and a one-cycle learning rate, over slightly distorted images; the weights of the epoch with the best validation
accuracy are kept. Nothing is chosen on the test images: they are looked at once, at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import pullback
from pullback import Tensor, nn, optim
from pullback.cli.distort import distort
from pullback.datasets import MNIST, Digits, stratified_split
from pullback.datasets.images import ImageDataset
from pullback.io import save_file
from pullback.io._files import atomic_path
from pullback.models import MLP
from pullback.nn import functional as F

HIDDEN = [512, 256]
DROPOUT, SMOOTHING = 0.3, 0.1
EPOCHS = {"digits": 80, "idx": 10}


class Data(NamedTuple):
    """Images [N, H, W] in [0, 1] as float32, labels [N] as int64, of one part."""

    images: Any
    labels: Any


class Job(NamedTuple):
    """What is trained, and on what."""

    kind: str  # "digits" or "idx"
    names: list[str]
    train: Data
    valid: Data
    test: Data


def _part(dataset: ImageDataset, indices: Any) -> Data:
    index = np.asarray(indices, dtype=np.int64)
    return Data(np.divide(dataset.images[index], dataset.scale, dtype=np.float32), dataset.labels[index])


def load(source: str, generator: pullback.Generator) -> Job:
    """The three parts of a data source; ValueError for one that is unknown."""
    if source == "digits":
        digits = Digits()
        train, valid, test = stratified_split(digits, [0.7, 0.1, 0.2], generator=generator)
        return Job("digits", digits.classes, *[_part(digits, s.indices) for s in (train, valid, test)])
    kind, _, folder = source.partition(":")
    if kind != "idx" or not folder:
        raise ValueError(f"train: --data expects digits or idx:DIR, got {source!r}")
    mnist, held_out = MNIST(folder, train=True), MNIST(folder, train=False)
    if mnist.images.shape[1:] != held_out.images.shape[1:]:
        raise ValueError(
            f"train: images of {folder} expect one size, got {mnist.images.shape[1:]} and {held_out.images.shape[1:]}"
        )
    train, valid = stratified_split(mnist, [0.9, 0.1], generator=generator)
    parts = [_part(mnist, train.indices), _part(mnist, valid.indices), _part(held_out, range(len(held_out)))]
    return Job("idx", mnist.classes, *parts)


def check(args: argparse.Namespace) -> None:
    """ValueError for a hyper-parameter without meaning."""
    for name, value, low in (
        ("--epochs", args.epochs, 1),
        ("--batch-size", args.batch_size, 1),
        ("--seed", args.seed, 0),
    ):
        if value is not None and value < low:
            raise ValueError(f"train: {name} expects at least {low}, got {value}")
    if args.hidden is not None and min(args.hidden) < 1:
        raise ValueError(f"train: --hidden expects positive widths, got {args.hidden}")
    for name, value, positive in (("--lr", args.lr, True), ("--weight-decay", args.weight_decay, False)):
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise ValueError(
                f"train: {name} expects a {'positive' if positive else 'non-negative'} number, got {value}"
            )


def make_model(args: argparse.Namespace, job: Job) -> nn.Module:
    """The model that the options ask for."""
    features = int(np.prod(job.train.images.shape[1:]))
    if args.model == "linear":
        return MLP(features, [], len(job.names))
    return MLP(features, args.hidden or HIDDEN, len(job.names), dropout=DROPOUT)


def one_cycle(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over the first tenth, then half a cosine down to 0."""
    warm = max(1, steps // 10)
    if step < warm:
        return peak * (step + 1) / warm
    return 0.5 * peak * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def choose_device(name: str) -> pullback.device:
    """The device of --device; RuntimeError for one that is not there, saying what is missing."""
    if name == "auto":
        name = "cuda" if pullback.cuda.is_available() else "cpu"
    return pullback.zeros((), device=name).device


def evaluate(model: nn.Module, data: Data, device: pullback.device, batch: int = 2048) -> tuple[float, float, Any]:
    """Mean loss, accuracy and predictions, in evaluation mode."""
    model.eval()
    loss, predicted = 0.0, []
    with pullback.no_grad():
        for i in range(0, len(data.labels), batch):
            x, y = [pullback.from_numpy(a[i : i + batch]).to(device) for a in (data.images, data.labels)]
            logits = model(x)
            loss += float(F.cross_entropy(logits, y, reduction="sum").item())
            predicted.append(logits.argmax(1).cpu().numpy())
    guesses = np.concatenate(predicted) if predicted else np.zeros(0, np.int64)
    n = max(1, len(data.labels))
    return loss / n, float((guesses == data.labels).sum()) / n, guesses


class Run:
    """One training run: its model, its history, and the best weights so far."""

    def __init__(self, args: argparse.Namespace, job: Job) -> None:
        self.job = job
        self.batch_size = args.batch_size
        self.epochs = args.epochs or EPOCHS[job.kind]
        self.peak = args.lr
        self.rng = np.random.default_rng(args.seed)
        self.device = choose_device(args.device)
        self.model = make_model(args, job).to(self.device)
        self.optimizer = optim.AdamW(self.model.parameters(), lr=args.lr, weight_decay=args.weight_decay)
        # One captured step: Python once, native ever after.
        self.update = pullback.capture(self._update)
        self.steps = self.epochs * -(-len(job.train.labels) // self.batch_size)
        self.step = 0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = self._weights()
        self.best_epoch, self.best_accuracy = 0, -1.0

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def train_step(self, images: Any, labels: Any) -> tuple[float, int]:
        """One step of AdamW on one batch: its summed loss and its hits. ValueError where the loss is not finite."""
        for group in self.optimizer.param_groups:
            group["lr"] = one_cycle(self.step, self.steps, self.peak)
        self.step += 1
        loss, hits = self.update(*[pullback.from_numpy(a).to(self.device) for a in (images, labels)])
        value = float(loss.item())
        if not math.isfinite(value):
            raise ValueError(f"train: loss expects a finite value, got {value} at step {self.step}; try a lower --lr")
        return value * len(labels), int(hits.item())

    def _update(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Forward, backward and the optimizer: the loss, and how many the model had right before."""
        logits = self.model(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss, (logits.detach().argmax(1) == labels).sum()

    def epoch(self, number: int, tick: Callable[[int, float, float, float], None]) -> dict[str, float]:
        """One pass over the training data, then the validation; `tick(samples, loss, accuracy, samples/s)`."""
        self.model.train()
        n = len(self.job.train.labels)
        order = self.rng.permutation(n)
        images, labels = self.job.train.images[order], self.job.train.labels[order]
        loss, hits, seen, start = 0.0, 0, 0, time.perf_counter()
        for i in range(0, n, self.batch_size):
            part = slice(i, i + self.batch_size)
            step_loss, step_hits = self.train_step(distort(images[part], self.rng), labels[part])
            loss, hits, seen = loss + step_loss, hits + step_hits, min(n, i + self.batch_size)
            tick(seen, loss / seen, hits / seen, seen / (time.perf_counter() - start))
        rate = n / (time.perf_counter() - start)
        valid_loss, valid_accuracy, _ = evaluate(self.model, self.job.valid, self.device)
        row = {"epoch": number, "train_loss": loss / n, "train_accuracy": hits / n}
        row |= {"valid_loss": valid_loss, "valid_accuracy": valid_accuracy, "samples_per_second": rate}
        self.history.append(row)
        if valid_accuracy > self.best_accuracy:
            self.best, self.best_epoch, self.best_accuracy = self._weights(), number, valid_accuracy
        return row


def fit(run: Run, console: Console) -> bool:
    """All epochs under a progress bar; True where Ctrl-C ended them."""
    columns = (
        TextColumn("[bold]epoch {task.fields[epoch]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:6.2%}"),
        TextColumn("valid {task.fields[valid]:6.2%}  {task.fields[rate]:,.0f} samples/s"),
        TimeElapsedColumn(),
    )
    n = len(run.job.train.labels)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        fields = {"epoch": 0, "loss": math.nan, "accuracy": 0.0, "valid": 0.0, "rate": 0.0}
        task = progress.add_task("train", total=run.epochs * n, **fields)

        try:
            for number in range(1, run.epochs + 1):

                def tick(seen: int, loss: float, accuracy: float, rate: float, number: int = number) -> None:
                    done = (number - 1) * n + seen
                    progress.update(task, completed=done, epoch=number, loss=loss, accuracy=accuracy, rate=rate)

                row = run.epoch(number, tick)
                progress.update(task, valid=row["valid_accuracy"])
                if not console.is_terminal and number % max(1, run.epochs // 10) == 0:
                    console.print(
                        f"epoch {number:>3}/{run.epochs}  loss {row['train_loss']:.4f}  accuracy {row['train_accuracy']:.2%}  "
                        f"valid {row['valid_accuracy']:.2%}  {row['samples_per_second']:,.0f} samples/s",
                        highlight=False,
                    )
        except KeyboardInterrupt:
            return True
    return False


def write(run: Run, out: Path, args: argparse.Namespace, results: dict[str, Any], predicted: Any) -> None:
    """Weights, figures and pictures, each whole or not there."""
    from pullback.cli.pictures import draw_curves, draw_wrong

    out.mkdir(parents=True, exist_ok=True)
    save_file(run.best, out / "weights.safetensors", metadata={"pullback train": f"{args.model} on {args.data}"})
    with atomic_path(out / "results.json") as temporary, open(temporary, "w") as file:
        json.dump({**results, "options": vars(args), "history": run.history}, file, indent=1)
    if run.history:
        draw_curves(run.history, run.best_epoch, out / "curves.png")
    draw_wrong(run.job.test.images, run.job.test.labels, predicted, run.job.names, out / "wrong.png")


def show(console: Console, run: Run, results: dict[str, Any], out: Path) -> None:
    """The final table."""
    table = Table(
        title=f"{results['parameters']:,} parameters, {len(run.history)} epochs in {results['seconds']:.1f} s"
    )
    for heading in ("part", "images", "loss", "accuracy"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for part in ("train", "valid", "test"):
        data = getattr(run.job, part)
        table.add_row(
            part, f"{len(data.labels):,}", f"{results[f'{part}_loss']:.4f}", f"{results[f'{part}_accuracy']:.2%}"
        )
    console.print(table)
    console.print(f"kept epoch {run.best_epoch}; wrote weights, results and pictures to {out}", highlight=False)


def train(args: argparse.Namespace) -> int:
    """Load, train, test, write, and print `test accuracy: NN.N %` last. Returns 130 after Ctrl-C."""
    check(args)
    console = Console()
    pullback.manual_seed(args.seed)
    job = load(args.data, pullback.Generator().manual_seed(args.seed))
    if not len(job.train.labels) or not len(job.test.labels):
        raise ValueError(f"train: --data {args.data} has no images")
    out = Path(args.out) if args.out else Path("runs") / f"{job.kind}-{args.model}"
    if out.exists() and not out.is_dir():
        raise ValueError(f"train: --out expects a folder, got the file {out}")
    run = Run(args, job)
    start = time.perf_counter()
    interrupted = fit(run, console)
    seconds = time.perf_counter() - start
    if interrupted:
        console.print(f"interrupted in epoch {len(run.history) + 1}; keeping the weights of epoch {run.best_epoch}")
    run.model.load_state_dict(run.best)
    results: dict[str, Any] = {"parameters": sum(p.numel() for p in run.model.parameters()), "seconds": seconds}
    predicted = None
    for part in ("train", "valid", "test"):
        results[f"{part}_loss"], results[f"{part}_accuracy"], predicted = evaluate(
            run.model, getattr(job, part), run.device
        )
    write(run, out, args, results, predicted)
    show(console, run, results, out)
    console.print(f"test accuracy: {results['test_accuracy'] * 100:.1f} %", highlight=False)
    return 130 if interrupted else 0
