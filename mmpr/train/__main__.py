"""``python -m mmpr.train [RECIPE] --data OUT --model MODEL --out RUN``: from preference data to a better model."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from mmpr.cli.command import run_command

# Without these, glibc returns every large tensor to the kernel and gets new memory page by page: a small model's step
# on a CPU took 5 to 8 seconds, and 0.7 with them (docs/training.md).
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "500000000",
}
_GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dri/renderD128")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 1 failed, 2 wrong recipe, 130 stopped."""
    parser = _arguments()
    args = parser.parse_intermixed_args(argv)
    if args.out is None and not args.plan:
        parser.error("the following arguments are required: --out")
    if argv is None:
        use_memory_well()
    recipe_path, overrides = _recipe_and_overrides(args.recipe)

    def work() -> None:
        from mmpr.train.recipe import load_train_recipe

        allowed = ["data.allow_prompt_mismatch=true"] if args.allow_prompt_mismatch else []
        recipe = load_train_recipe(recipe_path, [*overrides, *allowed])
        if args.plan:
            from mmpr.train.plan import Machine, show_plan

            show_plan(recipe, args.data, args.model, Machine(args.gpus, args.gpu_gb, args.tflops, args.mfu))
            return
        from mmpr.train.run import train

        train(recipe, data=args.data, model=args.model, out=args.out)

    return run_command(work, "stopped; the last checkpoint is kept, and the same command goes on from there")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmpr train",
        description="Train a vision-language model by Mixed Preference Optimization.",
        epilog="Run the same command again to go on after a stop. Several GPUs: torchrun -m mmpr.train ...",
    )
    parser.add_argument(
        "recipe",
        nargs="*",
        metavar="RECIPE | key.path=value",
        help="a YAML file or a name of pipelines/train, and settings that replace its own",
    )
    parser.add_argument(
        "--data",
        required=True,
        action="append",
        metavar="OUT",
        help="a finished build, an MMPR meta.json, or a table of pairs; may be given several times",
    )
    parser.add_argument("--model", required=True, metavar="MODEL", help="a folder, or a name on the hub")
    parser.add_argument("--out", type=Path, metavar="RUN", help="where the run goes")
    parser.add_argument(
        "--allow-prompt-mismatch",
        action="store_true",
        help="train even where a prompt is not the tokens that the model read in sampling",
    )
    planned = parser.add_argument_group("the plan of a run, without weights: memory, tokens, hours")
    planned.add_argument("--plan", action="store_true", help="show it, and end with status 1 if the run does not fit")
    planned.add_argument("--gpus", type=_positive(int), default=8, metavar="N", help="default: 8")
    planned.add_argument("--gpu-gb", type=_positive(float), default=80, metavar="GB", help="of each (default: 80)")
    planned.add_argument(
        "--tflops", type=_positive(float), default=989, help="of each in bfloat16 (default: 989, an H100's)"
    )
    planned.add_argument("--mfu", type=_positive(float), default=0.35, help="the share that is reached (default: 0.35)")
    return parser


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if not 0 < value < 1e6:
            raise argparse.ArgumentTypeError(f"must be above 0 (it is {text})")
        return value

    return number


def _recipe_and_overrides(words: list[str]) -> tuple[Path | None, list[str]]:
    """The recipe, if one is named, and the overrides."""
    if words and "=" not in words[0]:
        return Path(words[0]), words[1:]
    return None, words


def use_memory_well() -> None:
    """Restart this process with the malloc settings that training on a CPU needs, unless the user has set any.

    glibc reads them when a process starts. Does nothing with a GPU, or with another C library.
    """
    try:
        glibc = (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, OSError, AttributeError):
        glibc = False
    if not glibc or any(name in os.environ for name in _MALLOC) or any(map(os.path.exists, _GPUS)):
        return
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **_MALLOC})


if __name__ == "__main__":
    sys.exit(main())
