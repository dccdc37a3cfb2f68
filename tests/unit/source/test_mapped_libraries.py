from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from collector.source import mapped_libraries
from collector.source.mapped_libraries import FileKey, MappedLibraries, Wanted

LIBRARY = re.compile(r"^libssl[^/]*\.so")
MAPS = """\
55d0c0000000-55d0c0001000 r--p 00000000 fe:00 100                        /usr/bin/server
55d0c0001000-55d0c0002000 r-xp 00001000 fe:00 100                        /usr/bin/server
7f0000000000-7f0000001000 r--p 00000000 fe:00 {inode}                    {path}
7f0000001000-7f0000002000 r-xp 00001000 fe:00 {inode}                    {path}
7f0000003000-7f0000004000 r-xp 00000000 00:00 0                          [vdso]
"""


def add_process(root: Path, process: int, path: str = "/usr/lib/libssl.so.3", inode: int = 200) -> Path:
    folder = root / str(process)
    folder.mkdir(exist_ok=True)
    (folder / "maps").write_text(MAPS.format(path=path, inode=inode))
    if not (folder / "exe").is_symlink():
        (folder / "exe").symlink_to("/usr/bin/server")
    return folder


def remove_process(root: Path, process: int) -> None:
    for entry in (root / str(process)).iterdir():
        entry.unlink()
    (root / str(process)).rmdir()


def libraries(root: Path, program: bool = False) -> MappedLibraries:
    return MappedLibraries(root, Wanted(LIBRARY, lambda place: program))


def test_a_library_of_two_processes_is_one_file(tmp_path: Path) -> None:
    add_process(tmp_path, 10)
    add_process(tmp_path, 11)
    mapped = libraries(tmp_path)
    mapped.look()
    assert list(mapped.files) == [FileKey("fe:00", 200)]
    assert mapped.processes(FileKey("fe:00", 200)) == 2


def test_the_same_path_in_two_containers_is_two_files(tmp_path: Path) -> None:
    add_process(tmp_path, 10, inode=200)
    add_process(tmp_path, 11, inode=201)
    mapped = libraries(tmp_path)
    mapped.look()
    assert {key.inode for key in mapped.files} == {200, 201}


def test_a_file_goes_with_its_last_process(tmp_path: Path) -> None:
    add_process(tmp_path, 10)
    add_process(tmp_path, 11)
    mapped = libraries(tmp_path)
    mapped.look()
    remove_process(tmp_path, 10)
    mapped.look()
    assert len(mapped.files) == 1
    remove_process(tmp_path, 11)
    mapped.look()
    assert mapped.files == {}


def test_a_library_loaded_after_the_first_look_is_found(tmp_path: Path) -> None:
    add_process(tmp_path, 10, path="/usr/lib/libother.so")
    mapped = libraries(tmp_path)
    for _ in range(20):
        mapped.look()
    assert mapped.files == {}
    add_process(tmp_path, 10)
    mapped.look()
    assert len(mapped.files) == 1


def test_other_names_are_not_looked_at(tmp_path: Path) -> None:
    for process, path in enumerate(("/usr/lib/libcrypto.so.3", "/srv/libssl.so.d/data", "/usr/lib/mylibssl.so"), 10):
        add_process(tmp_path, process, path=path)
    mapped = libraries(tmp_path)
    mapped.look()
    assert mapped.files == {}


def test_a_program_that_carries_the_library_is_wanted_and_judged_once(tmp_path: Path) -> None:
    judged: list[Path] = []

    def judge(place: Path) -> bool:
        judged.append(place)
        return False

    for process in (10, 11):
        add_process(tmp_path, process, path="/usr/lib/libother.so")
    mapped = MappedLibraries(tmp_path, Wanted(LIBRARY, judge))
    mapped.look()
    mapped.look()
    assert len(judged) == 1
    assert mapped.files == {}
    carrying = libraries(tmp_path, program=True)
    carrying.look()
    assert [file.path for file in carrying.files.values()] == ["/usr/bin/server"]


def test_a_file_is_opened_through_the_root_of_its_process(tmp_path: Path) -> None:
    root = tmp_path / "container"
    (root / "usr/lib").mkdir(parents=True)
    library = root / "usr/lib/libssl.so.3"
    library.write_bytes(b"code")
    add_process(tmp_path, 10, inode=library.stat().st_ino)
    (tmp_path / "10/root").symlink_to(root)
    mapped = libraries(tmp_path)
    mapped.look()
    assert next(iter(mapped.files.values())).place == tmp_path / "10" / "root" / "usr/lib/libssl.so.3"


@pytest.mark.parametrize("suffix", ["", " (deleted)"])
def test_a_replaced_file_is_opened_through_its_mapping(tmp_path: Path, suffix: str) -> None:
    add_process(tmp_path, 10, path=f"/usr/lib/libssl.so.3{suffix}")
    mapped = libraries(tmp_path)
    mapped.look()
    found = next(iter(mapped.files.values()))
    assert found.path == "/usr/lib/libssl.so.3"
    assert found.place == tmp_path / "10/map_files/7f0000001000-7f0000002000"


def test_what_cannot_be_read_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    add_process(tmp_path, 10)
    (tmp_path / "11/maps").mkdir(parents=True)
    (tmp_path / "self").mkdir()
    mapped = libraries(tmp_path)
    mapped.look()
    assert mapped.unreadable == {11}
    assert len(mapped.files) == 1


def test_a_process_that_ends_meanwhile_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "10").mkdir()
    mapped = libraries(tmp_path)
    mapped.look()
    assert mapped.unreadable == set()


def test_a_look_reads_few_old_processes_but_comes_round_to_all(tmp_path: Path) -> None:
    for process in range(100):
        add_process(tmp_path, process)
    mapped = libraries(tmp_path)
    for _ in range(mapped_libraries.YOUNG_LOOKS):
        mapped.look()
    for process in range(100):
        add_process(tmp_path, process, inode=300)
    mapped.look()
    assert mapped.processes(FileKey("fe:00", 300)) == mapped_libraries.OLD_PER_LOOK
    for _ in range(-(-100 // mapped_libraries.OLD_PER_LOOK)):
        mapped.look()
    assert mapped.processes(FileKey("fe:00", 300)) == 100
    assert FileKey("fe:00", 200) not in mapped.files


def test_more_processes_than_there_is_room_for_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_libraries, "PROCESSES_MAX", 3)
    for process in range(5):
        add_process(tmp_path, process)
    mapped = libraries(tmp_path)
    mapped.look()
    assert mapped.processes(FileKey("fe:00", 200)) == 3
    assert mapped.left_out == 2


def test_names_that_are_not_text_do_not_stop_a_look(tmp_path: Path) -> None:
    add_process(tmp_path, 10)
    name = os.fsdecode(b"/srv/\xff/libssl.so.3")
    (tmp_path / "10/maps").write_bytes(MAPS.format(path=name, inode=7).encode(errors="surrogateescape"))
    mapped = libraries(tmp_path)
    mapped.look()
    assert [file.path for file in mapped.files.values()] == [name]
