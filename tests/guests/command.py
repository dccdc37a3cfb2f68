"""`./test-kernels`: one command in a guest, or every probe in every kernel. See usage in ./test-kernels."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from boot_files import BootFiles, make_boot_files
from kernel_archive import SERIES, KernelArchive, UnavailableError, series_of, version_key
from kernel_page import write_page
from matrix import CONDITIONS, compile_refusal, conditions_for, find_faults, try_condition, try_probes
from trial_record import Observation, Record, read_lines, write_line
from virtual_machine import Job, missing_programs, run_job

ROOT = Path(__file__).resolve().parents[2]
RESULTS, PAGE = ROOT / "docs/kernels.jsonl", ROOT / "docs/kernels.md"
NOT_HERE = 77  # as automake's tests say: skipped


def say(text: str) -> None:
    print(f"honeyguide: {text}", file=sys.stderr, flush=True)


def prepare_kernel(wanted: str, folder: Path) -> tuple[str, BootFiles]:
    """(release, boot files); UnavailableError when it cannot be had."""
    kernel = KernelArchive(folder, say).find(wanted)
    return kernel.release, make_boot_files(kernel, folder / "boot" / kernel.release)


def read_arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./test-kernels",
        description="Boots Debian's kernels in QEMU and tries every probe in each, or runs one command there.",
        epilog="Kernels are kept in build/kernels, or where the variable KERNELS says. A guest's root is ours, read-only;"
        " what it writes is lost. Exit status: that of the command or of the tests, 124 after too long, 125 when"
        f" the guest died, {NOT_HERE} when QEMU or a kernel is not to be had.",
    )
    parser.add_argument(
        "-k", "--kernel", action="append", metavar="KERNEL", help=f"a series ({', '.join(SERIES)}) or a release; again for more"
    )
    parser.add_argument("-a", "--append", default="", metavar="WORDS", help="more kernel arguments, such as lockdown=integrity")
    parser.add_argument("-e", "--environment", action="append", default=[], metavar="NAME[=VALUE]", help="a variable to hand on")
    parser.add_argument("-m", "--memory", type=int, default=2048, metavar="MIB", help="memory of a guest (default 2048)")
    parser.add_argument("-t", "--time", type=float, default=1800, metavar="SECONDS", help="limit for a guest (default 1800)")
    parser.add_argument("-p", "--probes", default="", metavar="NAME,...", help="try only these; docs/ is not written then")
    parts = ", ".join(condition.name for condition in CONDITIONS)
    parser.add_argument("-o", "--only", default="", metavar="PART,...", help=f"of what is done in each kernel: trials, {parts}")
    parser.add_argument("--without-btf", action="store_true", help="blank out the kernel's type information")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="run this in the current folder")
    return parser.parse_args(words)


def job_of(arguments: argparse.Namespace) -> Job:
    words = arguments.command
    variables = (one if "=" in one else f"{one}={os.environ.get(one, '')}" for one in arguments.environment)
    return Job(
        command=words[0] if len(words) == 1 else shlex.join(words),
        folder=Path.cwd(),
        environment=dict(one.split("=", 1) for one in variables),
        kernel_arguments=arguments.append,
        without_btf=arguments.without_btf,
        memory_mib=arguments.memory,
        seconds=arguments.time,
    )


def run_command(wanted: str, job: Job, folder: Path) -> int:
    release, files = prepare_kernel(wanted, folder)
    outcome = run_job(files, job, sys.stdout.buffer, sys.stderr.buffer)
    if outcome.complaint:
        say(f"the guest's last words:\n{outcome.complaint}")
    say(f"{release}: status {outcome.status} after {outcome.seconds:.1f} s, of which {outcome.boot_seconds:.1f} s to start")
    return outcome.status


def run_matrix(wanted: Sequence[str], arguments: argparse.Namespace, folder: Path) -> int:
    """Tries kernel after kernel; 1 when something does not hold. What is found goes into docs/, part by part."""
    compile_refusal()
    status = 0
    for name in wanted:
        release, files = prepare_kernel(name, folder)
        for part in parts_of(release, files, arguments):
            try:
                found = part()
            except RuntimeError as error:
                say(str(error))
                status = 1
                continue
            if not arguments.probes:
                write_results(found)
            for fault in find_faults(found):
                say(fault)
                status = 1
    return status


def parts_of(release: str, files: BootFiles, arguments: argparse.Namespace) -> Iterator[Callable[[], list[Record]]]:
    """What is done with one kernel, each part in a guest of its own."""
    wanted = arguments.only.split(",") if arguments.only else []
    if not wanted or "trials" in wanted:
        yield lambda: try_probes(release, files, arguments.probes, say)
    for condition in () if arguments.probes else CONDITIONS if wanted else conditions_for(release):
        if not wanted or condition.name in wanted:
            yield partial(try_condition, release, files, condition, say)


def write_results(found: Sequence[Record]) -> None:
    """Into docs/kernels.jsonl in place of what is known of the same, and the page that is made of it."""
    trials, observations = read_lines(RESULTS.read_text()) if RESULTS.is_file() else ([], [])
    told = {subject_of(record) for record in found}
    others = [record for record in (*trials, *observations) if subject_of(record) not in told]
    records = sorted([*others, *found], key=lambda record: version_key(record.kernel))
    RESULTS.write_text("".join(map(write_line, records)))
    PAGE.write_text(write_page(*read_lines(RESULTS.read_text())))


def subject_of(record: Record) -> tuple[str, str]:
    """What a later record about the same replaces: the trials of a series, or one of its conditions."""
    return series_of(record.kernel), record.condition if isinstance(record, Observation) else ""


def main(words: Sequence[str]) -> int:
    arguments = read_arguments(words)
    folder = Path(os.environ.get("KERNELS", ROOT / "build/kernels")).absolute()
    missing = missing_programs()
    if missing or os.geteuid() != 0:
        say(f"no guest can run here: {'missing ' + ', '.join(missing) if missing else 'sharing folders needs root'}")
        return NOT_HERE
    folder.mkdir(parents=True, exist_ok=True)
    kernels = arguments.kernel or SERIES
    try:
        if arguments.command:
            return max(run_command(wanted, job_of(arguments), folder) for wanted in kernels)
        return run_matrix(kernels, arguments, folder)
    except UnavailableError as error:
        say(str(error))
        return NOT_HERE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
