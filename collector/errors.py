"""Every error we raise on purpose.

HoneyguideError            what happened, why, and what to do about it
├── SettingsError          an option is wrong; names the option and what is allowed
├── ProbeError             one probe cannot run; the agent goes on without it
│   ├── ManifestError      probe.toml does not fit its object
│   ├── CompileError       its source cannot be compiled here
│   └── LoadError          the kernel or libbpf refused the object
├── RecordingError         a recording cannot be read
├── ControlError           a probe cannot be loaded, unloaded, enabled or disabled as asked
└── QueryError             an API client asked for something impossible
"""

from __future__ import annotations


class HoneyguideError(Exception):
    """What happened and why in the first argument; what to do in `remedy` ('' when nothing can be done)."""

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(f"{cause} {remedy}".strip())
        self.cause = cause
        self.remedy = remedy


class SettingsError(HoneyguideError):
    pass


class ProbeError(HoneyguideError):
    pass


class ManifestError(ProbeError):
    pass


class CompileError(ProbeError):
    pass


class LoadError(ProbeError):
    pass


class RecordingError(HoneyguideError):
    pass


class ControlError(HoneyguideError):
    """status: the HTTP status that says the same (403, 404, 409)."""

    def __init__(self, cause: str, remedy: str = "", status: int = 409) -> None:
        super().__init__(cause, remedy)
        self.status = status


class QueryError(HoneyguideError):
    pass
