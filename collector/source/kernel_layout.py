"""Two faults of a kernel header made by bpftool, mended in its text: bcc's compiler does not relocate, so layouts must be exact.

- Enums of one or two bytes (struct inode has one since 6.18's `enum rw_hint`) are written by bpftool before 7.3 as if they had
  four: their size comes from BTF.
- Gaps are written as bit fields (`long: 64;`). LLVM makes one integer of neighbouring ones, i192 for three. bcc lays structs
  out for the machine, where that is aligned to 8, and generates code for BPF, where it is aligned to 16: what follows (in
  5.10 and 7.2 most of task_struct) is then read 8 bytes too far. A gap with a name stays what it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count

WORD_GAP = re.compile(r"^(\t+)long: 64;$", re.MULTILINE)
MACHINE_MODES = {1: "byte", 2: "HI"}  # GCC's names of integers with that many bytes


def mend_layout(header: str, small_enums: Mapping[str, int]) -> str:
    """`header` with layouts as in the kernel. small_enums: name -> bytes, 1 or 2."""
    for name, size in small_enums.items():
        ending = rf"\1 __attribute__((mode({MACHINE_MODES[size]})));"
        header = re.sub(rf"^(enum {name} \{{[^}}]*\}});", ending, header, flags=re.MULTILINE)
    number = count()
    return WORD_GAP.sub(lambda found: f"{found[1]}unsigned long honeyguide_gap_{next(number)};", header)
