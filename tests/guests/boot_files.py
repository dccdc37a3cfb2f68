"""What QEMU needs of a kernel: the ELF image and a small initramfs. Made once per kernel."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kernel_archive import Kernel

from collector.catalog.elf import read_sections

HERE = Path(__file__).resolve().parent
BUSYBOX = Path("/bin/busybox")
MODULES = ("virtio_pci", "virtiofs", "overlay")
TOOLS = {".xz": "xz", ".zst": "zstd", ".gz": "gzip"}
# Of a bzImage (Documentation/arch/x86/boot.rst): sectors before the kernel; where in it the packed ELF image lies.
SETUP_SECTORS, PAYLOAD = 0x1F1, 0x248


@dataclass(frozen=True, slots=True)
class BootFiles:
    """image: the kernel as ELF (booted by PVH entry: unpacking it under emulation takes seconds); archive: its initramfs."""

    image: Path
    archive: Path

    def without_btf(self) -> Path:
        """The same kernel with its type information blanked out: as one that was built without."""
        blanked = self.image.with_name("vmlinux-without-btf")
        if not blanked.is_file():
            content = bytearray(self.image.read_bytes())
            place = read_sections(bytes(content))[".BTF"]
            content[place] = bytes(place.stop - place.start)
            blanked.write_bytes(content)
        return blanked


def make_boot_files(kernel: Kernel, folder: Path) -> BootFiles:
    """folder: where they are kept, and found again while the files they are made of are the same."""
    made_of = hashlib.sha256((HERE / "init").read_bytes() + (HERE / "guest_init").read_bytes()).hexdigest()
    stamp = folder / "made_of"
    files = BootFiles(folder / "vmlinux", folder / "initramfs")
    if not stamp.is_file() or stamp.read_text() != made_of:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        files.image.write_bytes(unpack_image(kernel.image.read_bytes()))
        _pack_archive(kernel, folder / "tree", files.archive)
        stamp.write_text(made_of)
    return files


def unpack_image(packed: bytes) -> bytes:
    """The ELF image in a bzImage; ValueError when it is packed in an unknown way."""
    start = ((packed[SETUP_SECTORS] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", packed, PAYLOAD)
    payload = packed[start + offset : start + offset + length]
    if payload.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return gzip.decompress(payload[:-4])  # then the size of the image
    for magic, tool in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\x02\x21\x4c\x18", "lz4")):
        if payload.startswith(magic):  # neither minds the size at the end enough to give nothing
            return subprocess.run([tool, "-dcq"], input=payload[:-4], stdout=subprocess.PIPE, check=True).stdout
    raise ValueError(f"a kernel packed as {payload[:4].hex()}")


def _pack_archive(kernel: Kernel, tree: Path, archive: Path) -> None:
    """Busybox, the modules that mount the shared folders, and the first program. Not packed: that is quicker here."""
    for name in ("bin", "modules", "proc", "sys", "dev", "shared", "own", "new"):
        (tree / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, tree / "bin/busybox")
    shutil.copy(HERE / "init", tree / "init")
    (tree / "init").chmod(0o755)
    shutil.copy(HERE / "guest_init", tree / "guest_init")
    (tree / "modules/place").write_text(str(kernel.modules.absolute()))
    order: list[str] = []
    for source in _list_modules(kernel, tree.parent / "modules_root"):
        name = source.name.partition(".ko")[0] + ".ko"
        if name not in order:
            (tree / "modules" / name).write_bytes(_unpack_module(source))
            order.append(name)
    (tree / "modules/order").write_text("\n".join(order) + "\n")
    names = subprocess.run(["find", "."], cwd=tree, stdout=subprocess.PIPE, check=True).stdout
    with archive.open("wb") as output:
        subprocess.run(["cpio", "--create", "--format=newc", "--quiet"], cwd=tree, input=names, stdout=output, check=True)
    shutil.rmtree(tree)


def _list_modules(kernel: Kernel, root: Path) -> list[Path]:
    """The files of MODULES and of what they need, in the order in which they load."""
    (root / "lib/modules").mkdir(parents=True)
    (root / "lib/modules" / kernel.release).symlink_to(kernel.modules.absolute())
    if not (kernel.modules / "modules.dep").is_file():
        subprocess.run(["depmod", "-b", root, kernel.release], check=True)
    files: list[Path] = []
    for module in MODULES:
        command = ["modprobe", "-d", root, "-S", kernel.release, "--show-depends", module]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        files += [Path(words[1]) for words in map(str.split, shown.splitlines()) if words[0] == "insmod"]
    return files


def _unpack_module(source: Path) -> bytes:
    tool = TOOLS.get(source.suffix)
    return subprocess.run([tool, "-dc", source], stdout=subprocess.PIPE, check=True).stdout if tool else source.read_bytes()
