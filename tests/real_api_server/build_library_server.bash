# Sourced by ./test: tests/real_api_server/library_server, compiled once into build/library_server from Debian unstable's packages.
# Its kubernetes source package has kubectl alone, but golang-k8s-apiserver-dev is what newer API servers list and watch with.

# shellcheck disable=SC2034 # used by those who source this
LIBRARY_SERVER_FOLDER=$PWD/build/library_server

build_library_server() {
	[ -x "$LIBRARY_SERVER_FOLDER/library-server" ] && [ -x "$LIBRARY_SERVER_FOLDER/etcd" ] && return
	say "compiling an API server of Kubernetes' newest library in Debian (10 to 20 minutes and 4 GB of disk, once)"
	mkdir -p "$LIBRARY_SERVER_FOLDER"/{lists/partial,archives/partial,unpacked,go/src} || return
	if ! fetch_library || ! compile_library_server; then
		say "it could not be compiled; Debian's unstable suite must have golang-k8s-apiserver-dev, a Go for it and etcd-server"
		return 1
	fi
	rm -rf "$LIBRARY_SERVER_FOLDER"/{unpacked,go,cache,lists,archives}
}

# unstable, as a suite of the mirror that this machine's apt uses; the machine's own lists and packages stay as they are.
ask_unstable() {
	local place=$LIBRARY_SERVER_FOLDER
	LC_ALL=C "$@" -o "Dir::Etc::sourcelist=$place/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::Lists=$place/lists" \
		-o "Dir::State::status=$place/nothing-installed" -o "Dir::Cache=$place" -o Acquire::Languages=none -o APT::Sandbox::User=root
}

# All Go packages that the library needs, unpacked; nothing is installed.
fetch_library() {
	local place=$LIBRARY_SERVER_FOLDER site package needed
	site=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | grep -v -- -security | head -n 1 | cut -d' ' -f1)
	echo "deb $site sid main" >"$place/sources.list" && : >"$place/nothing-installed"
	quietly ask_unstable apt-get -qq update || return
	needed=$(ask_unstable apt-get --simulate --no-install-recommends install golang-k8s-apiserver-dev golang-go etcd-server etcd-client |
		sed -nE 's/^Inst ((golang-|etcd-(server|client))\S*) .*/\1/p') || return
	[ -n "$needed" ] || return
	# shellcheck disable=SC2086 # names
	(cd "$place/archives" && quietly ask_unstable apt-get -qq download $needed) || return
	for package in "$place"/archives/*.deb; do
		quietly nice -n 15 dpkg -x "$package" "$place/unpacked" || return
	done
	cp "$place"/unpacked/usr/bin/etcd{,ctl} "$place"
}

# Without Go modules, as Debian builds its packages: all that it is made of lies below GOPATH.
compile_library_server() {
	local place=$LIBRARY_SERVER_FOLDER go
	go=$(find "$place/unpacked/usr/lib" -path '*/go-*/bin/go' | sort -V | tail -n 1)
	ln -sfn "$PWD/tests/real_api_server/library_server" "$place/go/src/library_server"
	quietly env GO111MODULE=off GOPATH="$place/go:$place/unpacked/usr/share/gocode" GOCACHE="$place/cache" GOPROXY=off GOTOOLCHAIN=local \
		GOFLAGS=-p=2 CGO_ENABLED=0 nice -n 15 "$go" build -ldflags '-s -w' -o "$place/compiled" library_server || return
	mv "$place/compiled" "$place/library-server"
}
