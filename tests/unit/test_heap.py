from __future__ import annotations

import subprocess
import sys

COUNT_FAULTS = """
import resource, sys
import numpy as np
from collector.heap import keep_what_a_drain_frees
if sys.argv[1] == "kept":
    keep_what_a_drain_frees()
for number in range(30):
    if number == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    first, second, third = (np.ones(300_000) for _ in range(3))
    del first, second, third
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_faults(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", COUNT_FAULTS, how], check=True, capture_output=True, text=True).stdout)


def test_the_arrays_of_a_drain_are_not_paid_for_by_fresh_pages_each_time() -> None:
    assert count_faults("kept") < count_faults("as it is") / 5


MEASURE_RESIDENT = """
from pathlib import Path
import numpy as np
from collector.heap import give_back_free_pages, keep_what_a_drain_frees
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])
keep_what_a_drain_frees()
many = [np.ones(12_800) for _ in range(600)]  # 100 KiB each
del many[::2]  # every free one lies between two that are used
before = resident()
give_back_free_pages()
print(before - resident())
"""


def test_free_pages_between_others_go_back() -> None:
    pages = int(subprocess.run([sys.executable, "-c", MEASURE_RESIDENT], check=True, capture_output=True, text=True).stdout)
    assert pages > 300 * 12_800 * 8 / 4096 / 2
