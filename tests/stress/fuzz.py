"""
Coverage-guided fuzzing of the pure parsers, by atheris.

::

    python -m tests.stress.fuzz --seconds 20          # all targets, in so many seconds
    python -m tests.stress.fuzz --target mbox FILE    # a crash again
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

#: Seconds of CPU that a run of one input may take.
PATIENCE = 10


def fuzz(name: str, arguments: list[str]) -> None:
    """
    Fuzz one target, in this process, which ends with it.
    """
    import atheris

    with atheris.instrument_imports(include=["extretr"]):
        from tests.stress.targets import TARGETS
    target = {each.__name__: each for each in TARGETS}[name]
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


def run(name: str, seeds: list[bytes], seconds: int) -> bool:
    """
    Fuzz a target in a process of its own; tell whether it held.
    """
    with tempfile.TemporaryDirectory() as folder:
        for number, octets in enumerate(seeds):
            Path(folder, str(number)).write_bytes(octets)
        options = [
            *(f"-max_total_time={seconds}", f"-timeout={PATIENCE}", "-max_len=600"),
            *("-print_final_stats=1", f"-artifact_prefix={name}-", folder),
        ]
        command = [sys.executable, "-m", "tests.stress.fuzz", "--target", name]
        done = subprocess.run(
            [*command, "--", *options], capture_output=True, text=True, check=False
        )
    said = done.stdout + done.stderr
    found = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
    covered = re.findall(r"\bcov: (\d+)", said)
    if done.returncode == 0 and found and int(found[1]) > 0:
        print(f"{name}: {int(found[1]):,} inputs, {covered[-1]} places covered")
        return True
    print(said)
    file = re.search(r"Test unit written to (\S+)", said)
    again = (
        f"again: python -m tests.stress.fuzz --target {name} {file[1] if file else ''}"
    )
    print(f"{name} FAILED; {again}")
    return False


def main() -> int:
    """
    Fuzz all targets, or one.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.stress.fuzz")
    parser.add_argument("--seconds", type=int, default=20, help="in all, about")
    parser.add_argument("--target", help="one alone, which takes libFuzzer's options")
    parser.add_argument("rest", nargs="*", help="files to run again")
    options = parser.parse_args()
    if options.rest:
        fuzz(options.target, options.rest)
    from tests.stress.targets import TARGETS

    wanted = {
        target.__name__: seeds
        for target, seeds in TARGETS.items()
        if options.target in (None, target.__name__)
    }
    each = max(1, options.seconds // max(1, len(wanted)))
    held = [run(name, seeds, each) for name, seeds in wanted.items()]
    return 0 if held and all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
