"""A stand-in for kernel headers, good enough for bcc: the kernel's own types (BTF) behind the names of the headers.

What bcc itself includes, and what tools written for it include most. A program that wants another header can leave the
line out: every type of the kernel is there already.
"""

from __future__ import annotations

import gzip
import mmap
import os
import re
from pathlib import Path

from collector.catalog.btf import KernelTypes
from collector.source.kernel_layout import mend_layout
from collector.source.private_cache import PrivateCache

# The first line: bcc's own (its helpers.h and bpf.h).
HEADERS = (
    "linux/types.h", "linux/bpf_common.h", "linux/log2.h", "asm/page.h", "uapi/linux/bpf.h", "uapi/linux/if_packet.h",
    "uapi/linux/if_ether.h", "uapi/linux/ptrace.h", "linux/bpf.h", "linux/ptrace.h", "linux/sched.h", "linux/fs.h", "linux/tcp.h",
    "linux/socket.h", "linux/in.h", "linux/in6.h", "linux/blkdev.h", "linux/blk-mq.h", "linux/mm_types.h", "linux/nsproxy.h",
    "linux/ns_common.h", "linux/pid_namespace.h", "linux/skbuff.h", "linux/signal.h", "linux/time64.h", "linux/limits.h",
    "linux/dcache.h", "linux/netdevice.h", "net/sock.h", "net/inet_sock.h", "net/tcp.h", "net/tcp_states.h",
    "net/net_namespace.h", "bcc/proto.h",
)  # fmt: skip
CONFIGURATIONS = ("/proc/config.gz", "/boot/config-{release}", "/lib/modules/{release}/config")
NEEDED = "CONFIG_BPF_SYSCALL=y"
OPTION = re.compile(r"^(CONFIG_\w+)=(y|m|-?\d+|0x[0-9a-fA-F]+)$", re.MULTILINE)


def write_headers(kernel_header: Path, types: bytes, own_headers: Path) -> Path:
    """The folder for BCC_KERNEL_SOURCE, beside vmlinux.h; written once, renewed when a file differs.

    types: the BTF that vmlinux.h was made from.
    """
    root = kernel_header.parent / "bcc"
    files = {f"include/{name}": '#include "kernel_types.h"\n' for name in HEADERS if name != "bcc/proto.h"}
    files |= {
        "include/kernel_types.h": (own_headers / "bcc/kernel_types.h").read_text(),
        "include/function_numbers.h": (own_headers / "bcc/function_numbers.h").read_text(),
        "include/vmlinux.h": mend_layout(kernel_header.read_text(), KernelTypes(types).small_enums()),
        "include/asm/page.h": f'#include "kernel_types.h"\n#define PAGE_SIZE {mmap.PAGESIZE}\n',
        "include/linux/version.h": version_header(os.uname().release),
        "include/linux/kconfig.h": option_header(read_configuration(os.uname().release)),
    }
    for name, text in files.items():
        path = root / name
        if not path.is_file() or path.read_text() != text:
            make_private(path.parent, kernel_header.parent)
            PrivateCache(path.parent).keep(path.name, text.encode())
    return root


def make_private(folder: Path, base: Path) -> None:
    """Each folder from `base` down to `folder`, for its owner alone; mkdir with parents=True would follow the umask."""
    for step in reversed([folder, *(above for above in folder.parents if base in above.parents)]):
        step.mkdir(mode=0o700, exist_ok=True)


def version_header(release: str) -> str:
    """linux/version.h for a release such as 6.1.0-25-amd64."""
    major, minor, patch = ([int(number) for number in re.findall(r"\d+", release)[:3]] + [0, 0, 0])[:3]
    code = (major << 16) + (minor << 8) + min(patch, 255)
    shift = "#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))"
    return f"#pragma once\n#define LINUX_VERSION_CODE {code}\n{shift}\n"


def read_configuration(release: str) -> str:
    """The text of the kernel's configuration; what bcc cannot do without where none can be read."""
    for place in CONFIGURATIONS:
        path = Path(place.format(release=release))
        try:
            content = path.read_bytes()
            return (gzip.decompress(content) if path.suffix == ".gz" else content).decode(errors="replace")
        except OSError:
            continue
    return NEEDED


def option_header(configuration: str) -> str:
    """linux/kconfig.h: CONFIG_X 1 for what is built in, CONFIG_X_MODULE 1 for modules, numbers as they are."""
    lines = ["#pragma once"]
    for name, value in OPTION.findall(f"{configuration}\n{NEEDED}\n" if NEEDED not in configuration else configuration):
        lines.append(f"#define {name}_MODULE 1" if value == "m" else f"#define {name} {1 if value == 'y' else value}")
    return "\n".join(lines) + "\n"
