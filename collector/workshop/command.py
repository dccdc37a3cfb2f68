"""`honeyguide probe`: write a probe, find out what is wrong with it, watch its events, and have the agent load it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from collector.errors import HoneyguideError
from collector.settings import Settings
from collector.settings_sources import load_settings
from collector.terminal import probes as list_of_probes
from collector.terminal.options import add_agent_flags, open_client
from collector.terminal.table import GOOD, say
from collector.workshop.check import check_folder, print_findings
from collector.workshop.live import watch
from collector.workshop.new_probe import FORMS, write_probe

ACTIONS = {
    "load": "compile and load a probe: its name, or its folder with a / in it (./NAME)",
    "unload": "take a probe out of the kernel and off the list",
    "enable": "start a probe that is disabled, refused or stopped",
    "disable": "take a probe out of the kernel; it stays listed",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One parser for each action."""
    parser.usage = "honeyguide probe {new,check,run,list,load,unload,enable,disable} ..."
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="write a folder with a working probe")
    new.add_argument("name", metavar="NAME", help="the probe and its folder: small letters, digits and _")
    new.add_argument(
        "--hook",
        required=True,
        metavar="HOOK",
        help=FORMS,
    )
    new.add_argument("--dialect", choices=("core", "bcc"), default="core", help="core: CO-RE C (default); bcc: bcc's C")
    new.add_argument("--in", dest="place", metavar="FOLDER", type=Path, default=Path(), help="where (default: here)")
    check = actions.add_parser("check", help="say what is wrong with a probe, with file and line")
    watched = actions.add_parser("run", help="load a probe for a while and show its events, without an agent")
    for one in (check, watched):
        one.add_argument("folder", metavar="DIR", type=Path, help="the probe's folder")
        one.add_argument("--config", metavar="FILE", help="settings file")
        one.add_argument("--cache-folder", metavar="FOLDER", help="where compiled probes are kept")
    watched.add_argument("--json", action="store_true", help="one object a line")
    watched.add_argument("--seconds", type=float, default=0.0, metavar="N", help="end after so long (default: at Ctrl-C)")
    add_agent_flags(actions.add_parser("list", help="probes of the running agent"))
    for action, text in ACTIONS.items():
        one = actions.add_parser(action, help=f"{text}, by the running agent")
        one.add_argument("probe", metavar="NAME|DIR" if action == "load" else "NAME")
        add_agent_flags(one)


def run(arguments: argparse.Namespace) -> int:
    """0 when all is well, 1 when something is wrong with the probe."""
    if arguments.action == "new":
        folder = write_probe(arguments.place, arguments.name, arguments.hook, arguments.dialect)
        say(f"{folder} is written.", GOOD)
        say(f"Look at it:  sudo honeyguide probe check {folder}")
        say(f"See events:  sudo honeyguide probe run {folder}")
        return 0
    if arguments.action == "list":
        return list_of_probes.run(arguments)
    if arguments.action in ACTIONS:
        return ask_agent(arguments)
    settings = read_settings(arguments)
    if arguments.action == "run":
        return watch(arguments.folder.resolve(), settings, as_json=arguments.json, seconds=arguments.seconds)
    return print_findings(check_folder(arguments.folder.resolve(), settings))


def read_settings(arguments: argparse.Namespace) -> Settings:
    given = {"config": arguments.config, "cache_folder": arguments.cache_folder}
    settings = load_settings(given, os.environ).settings
    if not arguments.folder.is_dir():
        raise HoneyguideError(f"{arguments.folder} is no folder.", "`honeyguide probe new NAME --hook ...` writes one.")
    return settings


def ask_agent(arguments: argparse.Namespace) -> int:
    """load, unload, enable or disable; HoneyguideError with the agent's reason when it refuses."""
    probe = arguments.probe
    with open_client(arguments) as client:
        if arguments.action == "load":
            where = str(Path(probe).resolve()) if "/" in probe else probe
            answer = client.post("/probes/load", {"probe": where})
        else:
            answer = client.post(f"/probes/{probe}/{arguments.action}", {})
    cause = f" ({answer['cause']})" if answer["cause"] else ""
    state = "unloaded" if arguments.action == "unload" else f"{answer['state']}{cause}"
    say(f"{answer['probe']}: {state}", GOOD)
    return 0
