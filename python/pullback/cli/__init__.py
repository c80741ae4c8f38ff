"""The command line: `pullback train`, `pullback run`, `pullback bench`, `pullback doctor`. Needs the extra `cli`.

Exit codes: 0 done; 2 for a wrong option, a missing file, training that diverged (one line on stderr, nothing half-written);
130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence

NEEDED = ("rich", "matplotlib", "safetensors")


def build_parser() -> argparse.ArgumentParser:
    """Every option, with its default."""
    import pullback

    parser = argparse.ArgumentParser(prog="pullback", description="Train small networks on kernels of our own.")
    parser.add_argument("--version", action="version", version=f"pullback {pullback.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="train a classifier and draw what it learned")
    train.add_argument(
        "--data",
        default="digits",
        metavar="digits|idx:DIR",
        help="the embedded UCI digits, or the four IDX files of MNIST in a folder (default: digits)",
    )
    train.add_argument("--model", default="mlp", choices=("mlp", "linear"), help="default: mlp")
    train.add_argument("--hidden", type=int, nargs="+", metavar="N", help="widths of the MLP's hidden layers")
    train.add_argument("--epochs", type=int, help="passes over the training data (default: 80 for digits, 10 for IDX)")
    train.add_argument("--batch-size", type=int, default=64, metavar="N", help="default: 64")
    train.add_argument("--lr", type=float, default=3e-3, help="AdamW's learning rate at its highest (default: 0.003)")
    train.add_argument("--weight-decay", type=float, default=1e-2, metavar="λ", help="default: 0.01")
    train.add_argument("--seed", type=int, default=0, help="of the split, the weights and the batches (default: 0)")
    train.add_argument(
        "--device",
        default="cpu",
        metavar="cpu|cuda|auto",
        help="where to compute; auto: on a GPU where there is one (default: cpu)",
    )
    train.add_argument("--out", default=None, metavar="DIR", help="where results go (default: runs/DATA-MODEL)")
    run = commands.add_parser("run", help="run a captured function from a file")
    run.add_argument("plan", metavar="PLAN.safetensors", help="what captured.save(path) wrote")
    for option, text in (
        ("--input", "the arguments, in order; without any: a summary"),
        ("--output", "where results go, in order (default: a printout)"),
    ):
        run.add_argument(option, nargs="+", action="extend", default=[], metavar="X.npy", help=text)
    run.add_argument("--max-bytes", type=int, help="bound of the memory besides the weights (default: 1 GiB, or more)")
    commands.add_parser(
        "bench", add_help=False, help="measure every kernel, against PyTorch (from a checkout; --device cuda)"
    )
    commands.add_parser("doctor", help="print version, instruction set, threads and GPU state")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    benching = given[:1] == ["bench"]  # whose options are the checkout's business
    args = build_parser().parse_args(given[:1] if benching else given)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if args.command == "doctor":
        from pullback.cli.doctor import doctor

        return doctor(missing)
    if missing:
        print(f'pullback: {", ".join(missing)} not installed: pip install "pullback[cli]"', file=sys.stderr)
        return 2
    if benching:
        from pullback.cli.bench import bench

        return bench(given[1:])
    try:
        if args.command == "run":
            from pullback.cli.run import run

            return run(args)
        from pullback.cli.train import train

        return train(args)
    except (ValueError, TypeError, IndexError, RuntimeError, OSError) as error:
        print(f"pullback: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
