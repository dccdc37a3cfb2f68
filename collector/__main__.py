"""The command line: `honeyguide COMMAND`. The only place that turns errors into messages and exit statuses."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from collector.errors import HoneyguideError, SettingsError

OK, PROBLEM, WRONG_USAGE, NO_PERMISSION, INTERRUPTED = 0, 1, 2, 3, 130

_DESCRIPTION = (
    "Shows every connection, request, name lookup and process of this machine,\nby workload, without touching any of them."
)
_EPILOG = """
exit status:
  0  all is well
  1  a problem was found, or nothing could run
  2  wrong usage: an option or a setting is refused
  3  no permission: eBPF is refused here

examples:
  sudo honeyguide run              watch this machine, serve 127.0.0.1:9464
  honeyguide doctor                what this kernel and these privileges allow
  honeyguide flows --follow        connections as they come and go
  honeyguide replay FILE --serve   a recording instead of a kernel, no root

Each command has its own help: honeyguide COMMAND --help
"""


@dataclass(frozen=True, slots=True)
class Command:
    """module: has add_arguments(parser) and run(arguments) -> exit status; imported only for the chosen command."""

    name: str
    module: str
    summary: str
    example: str


COMMANDS = (
    Command("run", "collector.commands.run", "watch this machine and serve what is seen", "run --snapshot-interval 10s"),
    Command("doctor", "collector.doctor.command", "say what this kernel and these privileges allow", "doctor --json"),
    Command(
        "record", "collector.commands.record", "write what the kernel says to a file", "record -o node.recording --seconds 30"
    ),
    Command("replay", "collector.commands.replay", "run a recording through the same pipeline, no root", "replay FILE --serve"),
    Command("flows", "collector.terminal.flows", "connections seen by the running agent", "flows --follow"),
    Command(
        "requests", "collector.terminal.requests", "what services are asked, and how they answer", "requests --group-by route"
    ),
    Command("top", "collector.terminal.top", "what services are asked most right now", "top --sort p99"),
    Command("lookups", "collector.terminal.lookups", "name lookups seen by the running agent", "lookups -o json"),
    Command("probes", "collector.terminal.probes", "probes of the running agent and their books", "probes"),
    Command(
        "probe",
        "collector.workshop.command",
        "write, check, try, load and unload probes of your own",
        "probe new mine --hook tracepoint:sched:sched_process_exit",
    ),
    Command("workloads", "collector.terminal.workloads", "workloads known to the running agent", "workloads"),
    Command("pods", "collector.terminal.pods", "pods that the cluster or a container runtime told of", "pods --namespace shop"),
    Command(
        "resolve", "collector.terminal.resolve", "who held an address, and how that is known", "resolve 10.96.0.1 --port 443"
    ),
    Command("processes", "collector.terminal.processes", "processes known to the running agent", "processes"),
    Command("map", "collector.terminal.map", "who talks to whom", "map"),
    Command(
        "clickhouse-schema",
        "collector.export.clickhouse_schema",
        "print the statements that make the tables for ClickHouse",
        "clickhouse-schema --engine 'ReplicatedMergeTree'",
    ),
    Command("settings", "collector.settings_report", "print the settings in force and where they come from", "settings --json"),
    Command("version", "collector.commands.version", "print the version", "version"),
)

ARGUMENTS = {"replay": " FILE", "resolve": " ADDRESS"}


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status of the process."""
    words = list(sys.argv[1:] if words is None else words)
    place = next((index for index, word in enumerate(words) if not word.startswith("-")), len(words))
    parser = build_parser()
    debug = parser.parse_args(words[:place]).debug
    if place == len(words):
        parser.print_help(sys.stderr)
        return WRONG_USAGE
    try:
        return run_command(find_command(parser, words[place]), words[place + 1 :], debug=debug)
    except KeyboardInterrupt:  # also while a command's modules are still being read
        return INTERRUPTED


def run_command(command: Command, words: Sequence[str], *, debug: bool) -> int:
    """Parses the words after the command's name, runs it, and turns what it raises into a message and a status."""
    module = importlib.import_module(command.module)
    parser = build_command_parser(command)
    module.add_arguments(parser)
    arguments = parser.parse_args(words)
    debug = debug or arguments.debug
    try:
        return int(module.run(arguments))
    except SettingsError as error:
        return _report(error, WRONG_USAGE, debug=debug)
    except HoneyguideError as error:
        return _report(error, PROBLEM, debug=debug)
    except PermissionError as error:
        return _report(HoneyguideError(f"{error}.", "Run as root (sudo honeyguide ...)."), NO_PERMISSION, debug=debug)
    except BrokenPipeError:
        # the reader, say `head`, has enough; nothing may be flushed into the closed pipe at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _report(error: HoneyguideError, status: int, *, debug: bool) -> int:
    """One message with cause and remedy; the traceback only for those who ask."""
    if debug:
        raise error
    lines = [f"honeyguide: {error.cause}", *([f"  -> {error.remedy}"] if error.remedy else [])]
    sys.stderr.write("\n".join(lines) + "\n")
    return status


def find_command(parser: argparse.ArgumentParser, name: str) -> Command:
    """The command called `name`; ends the process with status 2 when there is none."""
    known = {command.name: command for command in COMMANDS}
    if name not in known:
        similar = difflib.get_close_matches(name, known, 1)
        parser.error(
            f"there is no command {name!r}" + (f"; did you mean {similar[0]}?" if similar else "; see honeyguide --help")
        )
    return known[name]


def build_parser() -> argparse.ArgumentParser:
    """What stands before the command; imports nothing of the commands."""
    commands = "".join(f"  {command.name:17} {command.summary}\n" for command in COMMANDS)
    parser = argparse.ArgumentParser(
        prog="honeyguide",
        usage="honeyguide [--debug] COMMAND [options]",
        description=f"{_DESCRIPTION}\n\ncommands:\n{commands}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def build_command_parser(command: Command) -> argparse.ArgumentParser:
    """The parser of one command, before the command adds its own arguments."""
    parser = argparse.ArgumentParser(
        prog=f"honeyguide {command.name}",
        usage=f"honeyguide {command.name} [options]" + ARGUMENTS.get(command.name, ""),
        description=f"{command.summary[0].upper()}{command.summary[1:]}.",
        epilog=f"example:\n  honeyguide {command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
