"""Compiles a probe's CO-RE source (probe.bpf.c) on this node; the object is kept until what it is made from changes."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collector.errors import CompileError
from collector.source.compiler_messages import CompilerMessage, describe_failure, parse_messages
from collector.source.private_cache import PrivateCache, content_hash

SOURCE = "probe.bpf.c"
KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")
HELPER_HEADERS = Path("/usr/include/bpf/bpf_helpers.h")
SECONDS_MAX = 120
KERNEL_DIALECT = "-fms-extensions"  # since 7.0 the kernel's structs take in others by their bare tag (struct ns_common)
WARNINGS = ("-Wall", "-Wextra", "-Wno-unused-parameter", "-Wpadded", "-Werror=padded")
FLAGS = ("-g", "-O2", "-target", "bpf", KERNEL_DIALECT, *WARNINGS)
ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64", "ppc64le": "powerpc", "s390x": "s390", "riscv64": "riscv"}
ELSEWHERE = "or compile it on another machine and put probe.bpf.o into the folder"


@dataclass(frozen=True, slots=True)
class CompilerSettings:
    """cache: where results are kept. headers: the project's own, probes/include. path: where programs are looked for."""

    cache: Path
    headers: Path
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def program(self, name: str) -> str | None:
        return shutil.which(name, path=self.path)


@dataclass(frozen=True, slots=True)
class CompiledObject:
    """content: an ELF object. warnings: of the compiler; empty when the object was kept from before."""

    content: bytes
    warnings: tuple[CompilerMessage, ...] = ()


def compile_core(folder: Path, settings: CompilerSettings) -> CompiledObject:
    """CompileError with file and line, or with what is missing on this node and how to get it."""
    clang = settings.program("clang")
    if clang is None:
        raise CompileError(f"{folder / SOURCE} must be compiled, and there is no clang here.", f"Install clang, {ELSEWHERE}.")
    if not HELPER_HEADERS.exists():
        raise CompileError(f"{HELPER_HEADERS} is missing.", f"Install libbpf's headers (Debian: libbpf-dev), {ELSEWHERE}.")
    cache = PrivateCache(settings.cache)
    kernel_header = find_kernel_header(settings, cache)
    includes = ["-isystem", str(kernel_header.parent), "-I", str(settings.headers), "-I", str(folder)]
    includes += ["-idirafter", f"/usr/include/{platform.machine()}-linux-gnu"]  # <asm/...>, which libbpf's usdt.bpf.h wants
    arguments = [clang, *FLAGS, f"-D__TARGET_ARCH_{target_architecture()}", *includes]
    name = f"{content_hash([*inputs(folder, settings), ' '.join(arguments).encode()])}.bpf.o"
    kept = cache.find(name)
    if kept is not None:
        return CompiledObject(kept)
    made = run_clang([*arguments, "-c", str(folder / SOURCE), "-o", "-"], folder, settings)
    cache.keep(name, made.content)
    return made


def inputs(folder: Path, settings: CompilerSettings) -> list[bytes]:
    """The content of every file that can be part of the object, with its name."""
    files = [*sorted(settings.headers.glob("*.h")), *sorted(folder.glob("*.h")), folder / SOURCE]
    try:
        return [part for path in files for part in (path.name.encode(), path.read_bytes())]
    except OSError as error:
        raise CompileError(f"{error.filename} cannot be read: {error.strerror}.", "Check its permissions.") from None


def target_architecture() -> str:
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def find_kernel_header(settings: CompilerSettings, cache: PrivateCache) -> Path:
    """vmlinux.h: the types of the running kernel as C, made once per kernel."""
    try:
        place = cache.open() / f"kernel-{content_hash([KERNEL_TYPES.read_bytes()])[:16]}"
    except OSError:
        remedy = f"Use a kernel built with CONFIG_DEBUG_INFO_BTF, {ELSEWHERE}."
        raise CompileError(
            "This kernel does not describe its types (no BTF), so nothing can be compiled for it.", remedy
        ) from None
    header = place / "vmlinux.h"
    if not header.exists():
        bpftool = settings.program("bpftool")
        if bpftool is None:
            raise CompileError(
                "The kernel's types must be written as a C header, and there is no bpftool here.", "Install bpftool."
            )
        place.mkdir(mode=0o700, exist_ok=True)
        dump = run([bpftool, "btf", "dump", "file", str(KERNEL_TYPES), "format", "c"], settings)
        if dump.returncode:
            raise CompileError(f"bpftool cannot write the kernel's types: {dump.stderr.decode(errors='replace').strip()}")
        PrivateCache(place).keep("vmlinux.h", dump.stdout)
    return header


def run_clang(command: Sequence[str], folder: Path, settings: CompilerSettings) -> CompiledObject:
    done = run(command, settings)
    output = done.stderr.decode(errors="replace")
    messages = parse_messages(output, str(folder))
    if done.returncode:
        raise CompileError(describe_failure(str(folder / SOURCE), messages, output), "`honeyguide probe check` says it again.")
    return CompiledObject(done.stdout, tuple(messages))


def run(command: Sequence[str], settings: CompilerSettings) -> subprocess.CompletedProcess[bytes]:
    """A compiler, less important than everything else on the node, with nothing of the agent's environment."""
    environment = {"PATH": settings.path, "LC_ALL": "C", "TMPDIR": str(settings.cache)}
    command = [*([nice, "-n", "10"] if (nice := settings.program("nice")) else []), *command]
    try:
        return subprocess.run(command, check=False, capture_output=True, timeout=SECONDS_MAX, env=environment)
    except subprocess.TimeoutExpired:
        raise CompileError(f"{command[0]} did not end within {SECONDS_MAX} s.") from None
    except OSError as error:
        raise CompileError(f"{command[0]} cannot be run: {error.strerror}.") from None
