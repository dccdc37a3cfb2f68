"""Runs a command in a guest with a kernel of its own; the guest's root is this system's, read-only under a throw-away layer."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from boot_files import BootFiles

VIRTIOFSD = Path("/usr/lib/qemu/virtiofsd")
QEMU = "qemu-system-x86_64"
# Software emulation: kernels under test need nothing of the host's. `max`: NumPy's wheels ask for newer instructions.
MACHINE = (
    *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-monitor", "none"),
    *("-machine", "pc", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max"),
)
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check cryptomgr.notests random.trust_cpu=on raid=noautodetect"
)
TIME_LIMIT, GUEST_DIED = 124, 125
POLL_SECONDS = 0.1
# In a mount namespace of its own: this system's root at $1, without write access; and the file system that holds folder $2.
SHARE_ROOT = """
mount --make-rprivate / && mount --bind / "$1" && mount -o remount,ro,bind "$1" || exit 1
[ "$2" = / ] || { mount --bind "$2" "$1$2" && mount -o remount,ro,bind "$1$2"; } || exit 1
shift 2
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Job:
    """command: for the shell; folder: where; environment: beside the guest's own; kernel_arguments: more of them."""

    command: str
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    kernel_arguments: str = ""
    without_btf: bool = False
    memory_mib: int = 2048
    seconds: float = 1800


@dataclass(frozen=True, slots=True)
class Outcome:
    """status: of the command, TIME_LIMIT or GUEST_DIED (then `complaint` holds the guest's last words). seconds: in all;
    boot_seconds: what the guest's clock showed when the command began, NaN when it never did."""

    status: int
    seconds: float
    boot_seconds: float
    complaint: str = ""


def missing_programs() -> list[str]:
    """What has to be installed before a guest can start here."""
    needed = {QEMU: shutil.which(QEMU), "cpio": shutil.which("cpio"), "depmod": shutil.which("depmod", path="/sbin:/usr/sbin")}
    files = {"virtiofsd": VIRTIOFSD, "busybox": Path("/bin/busybox")}
    return [name for name, found in needed.items() if not found] + [name for name, path in files.items() if not path.is_file()]


def run_job(files: BootFiles, job: Job, output: BinaryIO, errors: BinaryIO) -> Outcome:
    """Starts the guest, copies what the command prints while it prints, ends everything that was started."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="guest-") as name, ExitStack() as ends:
        place = Path(name)
        share = place / "share"
        _write_job(share, job)
        for service in _shares(place, share, job.folder):
            ends.enter_context(ended(service, place / "words"))
        _wait_for_sockets(place)
        streams = Streams(ends, (share / "stdout", output), (share / "stderr", errors))
        guest = ends.enter_context(ended(_command_of(files, job, place), place / "words"))
        status = _wait_for(guest, share, job.seconds, streams)
        uptime = _read(share / "uptime")
        boot = float(uptime) if uptime else float("nan")
        complaint = (_read(place / "console") + _read(place / "words"))[-2000:] if status in {TIME_LIMIT, GUEST_DIED} else ""
    return Outcome(status, time.monotonic() - started, boot, complaint)


def _write_job(share: Path, job: Job) -> None:
    share.mkdir()
    (share / "command").write_text(job.command + "\n")
    (share / "folder").write_text(str(job.folder))
    (share / "environment").write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in job.environment.items()))
    for stream in ("stdout", "stderr"):
        (share / stream).touch()


def _shares(place: Path, share: Path, folder: Path) -> Iterator[list[str]]:
    """The services that share the root and the job's own folder."""
    (place / "root").mkdir()
    options = ("-f", "-o", "sandbox=chroot,log_level=err")
    root = [str(VIRTIOFSD), f"--socket-path={place}/root.socket", *options, "-o", f"source={place}/root,cache=always"]
    yield ["unshare", "--mount", "sh", "-c", SHARE_ROOT, "sh", f"{place}/root", str(mount_point(folder)), *root]
    yield [str(VIRTIOFSD), f"--socket-path={place}/job.socket", *options, "-o", f"source={share},cache=none"]


def mount_point(folder: Path) -> Path:
    """Where the file system that holds `folder` is mounted."""
    return next(place for place in (folder, *folder.parents) if place.is_mount())


def _wait_for_sockets(place: Path) -> None:
    deadline = time.monotonic() + 10
    while not all((place / f"{name}.socket").exists() for name in ("root", "job")):
        if time.monotonic() > deadline:
            raise RuntimeError("virtiofsd did not start; it needs root")
        time.sleep(0.02)


def _command_of(files: BootFiles, job: Job, place: Path) -> list[str]:
    memory = f"{job.memory_mib}M"
    devices = [
        word
        for name in ("root", "job")
        for word in (
            *("-chardev", f"socket,id={name},path={place}/{name}.socket"),
            *("-device", f"vhost-user-fs-pci,chardev={name},tag={name}"),
        )
    ]
    return [
        *("nice", "-n", "10", QEMU, *MACHINE, "-smp", "2", "-m", memory),
        *("-object", f"memory-backend-memfd,id=memory,size={memory},share=on", "-numa", "node,memdev=memory"),
        *("-kernel", str(files.without_btf() if job.without_btf else files.image), "-initrd", str(files.archive)),
        *("-serial", f"file:{place}/console"),
        *("-append", f"{KERNEL_ARGUMENTS} {job.kernel_arguments} {'hide_btf' if job.without_btf else ''}".strip()),
        *devices,
    ]


@contextmanager
def ended(command: Sequence[str], words: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs beside us, what it says goes to the end of file `words`; ended at the end."""
    with words.open("ab") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Streams:
    """Copies what has come to files since the last time."""

    def __init__(self, ends: ExitStack, *pairs: tuple[Path, BinaryIO]) -> None:
        self._pairs = [(ends.enter_context(source.open("rb")), target) for source, target in pairs]

    def copy(self) -> None:
        for source, target in self._pairs:
            while piece := source.read(1 << 16):
                target.write(piece)
            target.flush()


def _wait_for(guest: subprocess.Popen[bytes], share: Path, seconds: float, streams: Streams) -> int:
    """The command's status, TIME_LIMIT or GUEST_DIED."""
    deadline = time.monotonic() + seconds
    while guest.poll() is None and time.monotonic() < deadline:
        streams.copy()
        with suppress(subprocess.TimeoutExpired):
            guest.wait(POLL_SECONDS)
    streams.copy()
    status = _read(share / "status").strip()
    if status:
        return int(status)
    return TIME_LIMIT if guest.poll() is None else GUEST_DIED


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""
