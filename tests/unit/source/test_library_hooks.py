from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from collector.source import library_hooks
from collector.source.library_hooks import Detach, LibraryHooks, LibraryProgram, parse_section

pytestmark = [
    pytest.mark.skipif(shutil.which("clang") is None, reason="clang is not installed"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the code in this test is x86-64"),
]

FUNCTIONS = ("SSL_read", "SSL_write", "SSL_free")
CODE = "\n".join(f".globl {name}\n.type {name}, @function\n{name}: push %rbx\npop %rbx\nret\n" for name in FUNCTIONS)
MAPS = "7f0000001000-7f0000002000 r-xp 00001000 {device} {inode} {path}\n"
SECOND = 1_000_000_000


class Kernel:
    """What is attached: (file name, program) of each link. refused: an error for every attempt."""

    def __init__(self) -> None:
        self.links: list[tuple[str, str]] = []
        self.refused: OSError | None = None

    def attach(self, program: str, file: str, offsets: Sequence[int], on_return: bool) -> list[Detach]:
        if self.refused is not None and program == "ends":
            raise self.refused
        link = (Path(file).resolve().name, program)
        self.links.append(link)
        return [partial(self.links.remove, link)]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "code.s").write_text(CODE)
    subprocess.run(["clang", "-shared", "-nostdlib", "-o", folder / "code.so", folder / "code.s"], check=True)
    return folder / "code.so"


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def hooks(tmp_path: Path, kernel: Kernel) -> Iterator[LibraryHooks]:
    (tmp_path / "proc").mkdir()
    made = LibraryHooks("libssl", kernel.attach, tmp_path / "proc", [tmp_path / "standing"])
    made.programs += [LibraryProgram("begins", ("SSL_read", "SSL_read_ex"), False), LibraryProgram("ends", ("SSL_write",), True)]
    yield made
    made.close()


def run_process(hooks: LibraryHooks, process: int, library: Path) -> None:
    """A process that has the library mapped."""
    folder = hooks.proc_root / str(process)
    folder.mkdir()
    (folder / "root").symlink_to("/")
    (folder / "exe").symlink_to("/bin/program")
    state = library.stat()
    device = library_hooks.maps_device(state.st_dev)
    (folder / "maps").write_text(MAPS.format(device=device, inode=state.st_ino, path=library))


def place(compiled: Path, folder: Path, name: str = "libssl.so.3") -> Path:
    folder.mkdir(exist_ok=True)
    return Path(shutil.copy(compiled, folder / name))


def turns(hooks: LibraryHooks) -> Iterator[int]:
    """Times at which it looks again."""
    for turn in range(1, 100):
        hooks.follow(turn * 3 * SECOND)
        yield turn


@pytest.mark.parametrize(
    ("section", "meaning"),
    [
        ("uprobe/libssl:SSL_read", ("libssl", ("SSL_read",), False)),
        ("uretprobe/libssl:SSL_read,SSL_write", ("libssl", ("SSL_read", "SSL_write"), True)),
        ("uprobe/libother:read", None),
        ("uprobe//usr/lib/libssl.so:SSL_read", None),
        ("uprobe", None),
        ("kprobe/libssl:SSL_read", None),
    ],
)
def test_section_names_say_library_and_functions(section: str, meaning: object) -> None:
    assert parse_section(section) == meaning


def test_a_library_in_use_is_hooked_once_for_all_its_processes(
    hooks: LibraryHooks, kernel: Kernel, compiled: Path, tmp_path: Path
) -> None:
    library = place(compiled, tmp_path / "one")
    run_process(hooks, 10, library)
    run_process(hooks, 11, library)
    hooks.start()
    assert kernel.links == [("libssl.so.3", "begins"), ("libssl.so.3", "ends")]
    assert hooks.attached() == {str(library): 2}


def test_hooks_come_and_go_with_the_processes(hooks: LibraryHooks, kernel: Kernel, compiled: Path, tmp_path: Path) -> None:
    hooks.start()
    look = turns(hooks)
    next(look)
    run_process(hooks, 10, place(compiled, tmp_path / "one"))
    next(look)
    assert len(kernel.links) == 2
    shutil.rmtree(hooks.proc_root / "10")
    next(look)
    hooks.close()  # waits for what detaches
    assert kernel.links == []
    assert hooks.attached() == {}


def test_a_library_of_the_node_is_hooked_before_its_first_use(
    hooks: LibraryHooks, kernel: Kernel, compiled: Path, tmp_path: Path
) -> None:
    library = place(compiled, tmp_path / "standing")
    (tmp_path / "standing/libssl.so").symlink_to(library)
    hooks.start()
    assert len(kernel.links) == 2
    assert list(hooks.attached().values()) == [0]


def test_a_file_that_only_has_the_name_is_left_alone(hooks: LibraryHooks, kernel: Kernel, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    folder.mkdir()
    source = "int other(void) { return 1; }"
    command = ["clang", "-shared", "-nostdlib", "-x", "c", "-", "-o", str(folder / "libssl3.so")]
    subprocess.run(command, input=source, text=True, check=True)
    run_process(hooks, 10, folder / "libssl3.so")
    hooks.start()
    assert (kernel.links, hooks.attached(), hooks.notes()) == ([], {}, [])


def test_a_refusal_is_a_note_and_takes_back_what_was_made(
    hooks: LibraryHooks, kernel: Kernel, compiled: Path, tmp_path: Path
) -> None:
    kernel.refused = PermissionError(1, "Operation not permitted")
    library = place(compiled, tmp_path / "one")
    run_process(hooks, 10, library)
    hooks.start()
    assert hooks.notes() == [f"{library} cannot be hooked: [Errno 1] Operation not permitted"]
    hooks.close()
    assert kernel.links == []


def test_a_process_that_ends_meanwhile_leaves_no_note(
    hooks: LibraryHooks, kernel: Kernel, compiled: Path, tmp_path: Path
) -> None:
    kernel.refused = FileNotFoundError(2, "No such file or directory")
    run_process(hooks, 10, place(compiled, tmp_path / "one"))
    hooks.start()
    assert hooks.notes() == []
    kernel.refused = None
    for turn in turns(hooks):
        if hooks.attached() or turn > 20:
            break
    assert len(hooks.attached()) == 1


def test_more_files_than_the_limit_are_told(
    hooks: LibraryHooks, compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_hooks, "LIBRARIES_MAX", 2)
    for process in range(10, 15):
        run_process(hooks, process, place(compiled, tmp_path / f"of-{process}"))
    hooks.start()
    assert len(hooks.attached()) == 2
    assert hooks.notes() == ["3 more files are not hooked: 2 are the most"]
