"""Where settings come from. Later ones win: defaults, a TOML file, HONEYGUIDE_* variables, the command line."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from collector.errors import SettingsError
from collector.settings import Settings, describe_allowed, kind_of, show_default

STANDARD_FILE = Path("/etc/honeyguide/honeyguide.toml")
DEFAULT = "default"

_PREFIX = "HONEYGUIDE_"
# Read elsewhere: the file itself, and what the terminal commands take for an agent on another machine.
_OTHER_VARIABLES = frozenset({"HONEYGUIDE_CONFIG", "HONEYGUIDE_URL"})
# Kubernetes puts these into every pod of a namespace that has a Service called honeyguide.
_SERVICE_LINK = re.compile(r"HONEYGUIDE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")
# secret -> the option that names a file with it
SECRETS: Mapping[str, str] = {"token": "token_file", "clickhouse_password": "clickhouse_password_file"}
# A secret in an address, which may be refused for that very reason, is not repeated in the message.
_CREDENTIALS = re.compile(r"(?<=//)[^@/\s]*@|(?<=[?&])(user|password)=[^&\s]*")


@dataclass(frozen=True, slots=True)
class GivenValue:
    """value: as it was written; origin: where, in words."""

    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """origins: option -> file, variable or flag; options left at their default are not in it."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    command_line: Mapping[str, object], environment: Mapping[str, str], standard_file: Path = STANDARD_FILE
) -> LoadedSettings:
    """The effective settings; SettingsError names each wrong option, its value, where it came from and what is allowed.

    command_line: option -> value for the flags that were given; `config` among them names the file.
    """
    given = _from_file(command_line.get("config") or environment.get("HONEYGUIDE_CONFIG"), standard_file)
    given |= _from_environment(environment)
    given |= {
        name: GivenValue(value, flag_of(name))
        for name, value in command_line.items()
        if name in Settings.model_fields and value is not None
    }
    return LoadedSettings(_with_secrets_of_files(_validate(given)), {name: one.origin for name, one in given.items()})


def flag_of(name: str) -> str:
    """--ring-bytes for ring_bytes."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """HONEYGUIDE_RING_BYTES for ring_bytes."""
    return _PREFIX + name.upper()


def _from_file(named: object, standard_file: Path) -> dict[str, GivenValue]:
    path = Path(str(named)) if named else standard_file
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not named:
            return {}
        raise SettingsError(f"The settings file {path} does not exist.", "Mend --config or HONEYGUIDE_CONFIG.") from None
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # tomllib.TOMLDecodeError and UnicodeDecodeError
        raise SettingsError(f"The settings file {path} is not TOML: {error}.", "docs/settings.md shows an example.") from None
    _refuse_unknown(content, Settings.model_fields, str(path))
    return {name: GivenValue(value, str(path)) for name, value in content.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, GivenValue]:
    """An empty variable counts as not set, as OpenTelemetry has it for OTEL_*."""
    options = {variable_of(name): name for name in Settings.model_fields}
    ours = {key: value for key, value in environment.items() if key.startswith(_PREFIX) and not _SERVICE_LINK.fullmatch(key)}
    _refuse_unknown(ours.keys() - _OTHER_VARIABLES, options, "the environment")
    return {options[key]: GivenValue(value, key) for key, value in ours.items() if value and key in options}


def _refuse_unknown(names: Iterable[str], known: Iterable[str], place: str) -> None:
    known = list(known)
    unknown = sorted(set(names) - set(known))
    if not unknown:
        return
    similar = difflib.get_close_matches(unknown[0], known, 1)
    hint = f"Did you mean {similar[0]}?" if similar else "`honeyguide settings` lists all options."
    raise SettingsError(f"There is no option {', '.join(unknown)} (in {place}).", hint)


def _validate(given: Mapping[str, GivenValue]) -> Settings:
    try:
        return Settings.model_validate({name: one.value for name, one in given.items()})
    except ValidationError as error:
        wrong = {str(one["loc"][0]) if one["loc"] else "": one for one in error.errors()}
    if "" in wrong:
        raise SettingsError(
            f"{wrong['']['msg'].removeprefix('Value error, ')}.",
            "Set token_file or token, or allow_unauthenticated = true if everybody who reaches the port may read all.",
        ) from None
    raise SettingsError("\n".join(_explain(name, given[name], one) for name, one in wrong.items()))


def _explain(name: str, given: GivenValue, error: ErrorDetails) -> str:
    value = "**********" if name in SECRETS else without_credentials(str(given.value))
    default = show_default(name)
    # pydantic's own sentences only say again, in its units, what is allowed
    reason = f": {error['msg'].removeprefix('Value error, ')}" if error["type"] == "value_error" else ""
    return f"{name} = {value!r} (from {given.origin}) is refused{reason}. Allowed: {describe_allowed(name)}" + (
        f"; default {default}." if default else "."
    )


def _with_secrets_of_files(settings: Settings) -> Settings:
    for secret, file in SECRETS.items():
        settings = _with_secret_of_file(settings, secret, file)
    return settings


def _with_secret_of_file(settings: Settings, secret: str, file: str) -> Settings:
    path: Path | None = getattr(settings, file)
    if path is None:
        return settings
    if getattr(settings, secret) is not None:
        raise SettingsError(f"{secret} and {file} are both given.", "Keep one of them.")
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        raise SettingsError(f"{file} = '{path}' cannot be read: {reason}.") from None
    try:
        return Settings.model_validate(settings.model_dump() | {secret: SecretStr(lines[0].strip() if lines else "")})
    except ValidationError:
        name = secret.removeprefix("clickhouse_")
        raise SettingsError(f"The first line of {path} is no {name}.", f"Allowed: {describe_allowed(secret)}.") from None


def show_value(settings: Settings, name: str) -> str:
    """The value of the option called `name` for people; secrets are never shown."""
    return without_credentials(kind_of(name).show(getattr(settings, name)))


def without_credentials(text: str) -> str:
    """An address without the user and password that it may carry."""
    return _CREDENTIALS.sub("…", text)
