from __future__ import annotations

from pathlib import Path

from collector.catalog.btf import HEADER, KINDS, MAGIC, WORDS
from collector.source.kernel_headers import HEADERS, option_header, version_header, write_headers

OWN = Path(__file__).resolve().parents[3] / "probes/include"
STRINGS = b"\0hint\0HINT_NONE\0"
ENUM_OF_ONE_BYTE = WORDS.pack(1, 1 | KINDS.index("enum") << 24, 1) + bytes([6, 0, 0, 0, 0, 0, 0, 0])
TYPES = HEADER.pack(MAGIC, 1, 0, HEADER.size, 0, 20, 20, len(STRINGS)) + ENUM_OF_ONE_BYTE + STRINGS


def test_options_become_macros() -> None:
    text = option_header('CONFIG_BPF_SYSCALL=y\nCONFIG_NET=m\nCONFIG_HZ=250\nCONFIG_NAME="x"\n# CONFIG_OFF is not set\n')
    assert "#define CONFIG_BPF_SYSCALL 1\n" in text
    assert "#define CONFIG_NET_MODULE 1\n" in text
    assert "#define CONFIG_HZ 250\n" in text
    assert "CONFIG_NAME" not in text
    assert "CONFIG_OFF" not in text


def test_kernel_without_a_readable_configuration_still_has_bpf() -> None:
    assert "#define CONFIG_BPF_SYSCALL 1" in option_header("")


def test_version_is_that_of_the_release() -> None:
    assert f"LINUX_VERSION_CODE {(6 << 16) + (1 << 8) + 192}\n" in version_header("6.1.192-2-amd64")
    assert f"LINUX_VERSION_CODE {(5 << 16) + (4 << 8) + 255}\n" in version_header("5.4.300")


def test_every_header_leads_to_the_kernels_types(tmp_path: Path) -> None:
    kernel_header = tmp_path / "kernel/vmlinux.h"
    kernel_header.parent.mkdir(mode=0o700)
    kernel_header.write_text("enum hint {\n\tHINT_NONE = 0,\n};\n")
    root = write_headers(kernel_header, TYPES, OWN)
    for name in HEADERS:
        if name != "bcc/proto.h":
            assert (root / "include" / name).read_text().startswith('#include "kernel_types.h"\n')
    assert "#define PAGE_SIZE" in (root / "include/asm/page.h").read_text()
    assert "__attribute__((mode(byte)))" in (root / "include/vmlinux.h").read_text()
    before = (root / "include/linux/types.h").stat().st_mtime_ns
    write_headers(kernel_header, TYPES, OWN)
    assert (root / "include/linux/types.h").stat().st_mtime_ns == before
