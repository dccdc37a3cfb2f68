# Sourced by ./run and ./test: installs only what is missing, then gets out of the way. Everything that takes long says so.
# Best effort: a step that cannot be done says what is missing and how to get it, and returns 1.

# shellcheck disable=SC2034 # used by those who source this
PACKAGES_TO_RUN=(clang llvm make libbpf-dev libbpf1 bpftool python3-venv python3-bpfcc)
# shellcheck disable=SC2034
PACKAGES_FOR_GUESTS=(qemu-system-x86 busybox-static cpio kmod xz-utils zstd lz4 util-linux)
LOG=build/setup.log
PYTHON=${PYTHON:-/usr/bin/python3} # the system's own: the one that sees Debian's bcc

say() {
	printf 'honeyguide: %s\n' "$*" >&2
}

# Runs a command with its output in the log; shows the end of the log when it fails.
quietly() {
	mkdir -p build
	if ! "$@" >>"$LOG" 2>&1 </dev/null; then
		say "this failed: $*"
		tail -n 15 "$LOG" | sed 's/^/    /' >&2
		return 1
	fi
}

# install_packages NAME...: Debian packages that are not there yet.
install_packages() {
	local missing=() name status
	if ! command -v dpkg-query >/dev/null; then
		check_tools
		return
	fi
	status=$(dpkg-query -W -f='${Package} ${db:Status-Abbrev}\n' "$@" 2>/dev/null)
	for name in "$@"; do
		grep -q "^$name ii" <<<"$status" || missing+=("$name")
	done
	[ ${#missing[@]} -eq 0 ] && return
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
		say "these packages are missing: ${missing[*]}"
		say "  -> sudo apt-get install ${missing[*]}"
		return 1
	fi
	say "installing ${missing[*]} (a minute or two, once)"
	quietly apt-get -qq -o DPkg::Lock::Timeout=120 update || say "package lists could not be renewed; trying with those that are there"
	without_starting_services env DEBIAN_FRONTEND=noninteractive \
		apt-get -qq -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "${missing[@]}"
}

# Debian starts a server as soon as it is installed; the tests start their own, on their own ports.
without_starting_services() {
	local policy=/usr/sbin/policy-rc.d status=0
	[ -e "$policy" ] && { quietly "$@"; return; }
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	quietly "$@" || status=$?
	rm -f "$policy"
	return "$status"
}

# On a system without dpkg: the same needs by the names of their programs.
check_tools() {
	local missing=() tool
	for tool in clang llvm-strip make bpftool; do
		command -v "$tool" >/dev/null || [ -x "/usr/sbin/$tool" ] || missing+=("$tool")
	done
	ldconfig -p 2>/dev/null | grep -q 'libbpf\.so\.1' || missing+=("libbpf 1.x with its headers")
	[ ${#missing[@]} -eq 0 ] && return
	say "this is no Debian, so nothing was installed; missing: ${missing[*]}"
	say "  -> install them with your system's package manager"
	return 1
}

# make_environment EXTRAS: .venv, seeing Debian's bcc, with exactly the versions in deploy/constraints.txt.
# One made with more extras (grpc,test) serves where fewer are wanted (grpc).
make_environment() {
	local extras=$1 wanted stamp
	wanted="$PWD $(cat pyproject.toml deploy/constraints.txt | sha256sum)"
	for stamp in .venv/installed."$extras"*; do
		[ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
	done
	if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
		say "$PYTHON is missing or older than 3.11"
		say "  -> install it, or name another one: PYTHON=/path/to/python3 ./run"
		return 1
	fi
	say "installing Python packages into .venv (half a minute, once)"
	rm -f .venv/installed.*
	quietly "$PYTHON" -m venv --system-site-packages .venv || return
	quietly .venv/bin/pip install --disable-pip-version-check --constraint deploy/constraints.txt --editable ".[$extras]" || return
	printf '%s' "$wanted" >".venv/installed.$extras"
}

# Compiles what changed. make knows what is up to date.
build_probes() {
	make -q -C probes >/dev/null 2>&1 && return
	say "compiling the probes"
	quietly make -C probes
}
