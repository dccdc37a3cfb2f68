"""Headers for bcc on a node without kernel headers: a few small files around vmlinux.h, made from the kernel's own BTF."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path

FORWARDED = (
    "linux/types.h", "linux/bpf.h", "linux/bpf_common.h", "linux/sched.h", "uapi/linux/bpf.h", "uapi/linux/ptrace.h",
    "uapi/linux/if_ether.h", "uapi/linux/if_packet.h", "asm/page.h", "asm/types.h",
)  # fmt: skip
VERSION = "#pragma once\n#define LINUX_VERSION_CODE 0x060000\n#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))\n"
FLAGS = ["-D_UAPI__LINUX_BPF_H__", "-Wno-everything"]


def make_headers(folder: Path) -> Path:
    """The folder to name in BCC_KERNEL_SOURCE; a BPF program is then compiled with FLAGS."""
    include = folder / "include"
    for name in (*FORWARDED, "linux/kconfig.h", "generated/x"):
        (include / name).parent.mkdir(parents=True, exist_ok=True)
    command = ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"]
    (include / "vmlinux.h").write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    for name in FORWARDED:
        (include / name).write_text("#pragma once\n#include <vmlinux.h>\n")
    (include / "linux/log2.h").write_text("#pragma once\n")
    (include / "linux/version.h").write_text(VERSION)
    (include / "linux/kconfig.h").write_text(kernel_configuration())
    return folder


def kernel_configuration() -> str:
    """CONFIG_* as the kernel build defines them; bcc asks for CONFIG_BPF_SYSCALL."""
    text = gzip.decompress(Path("/proc/config.gz").read_bytes()).decode()
    lines = []
    for name, value in re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.MULTILINE):
        lines.append(f"#define {name}_MODULE 1" if value == "m" else f"#define {name} {'1' if value == 'y' else value}")
    return "#pragma once\n" + "\n".join(lines) + "\n"
