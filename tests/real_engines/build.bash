# Sourced by ./test: engines of other teams that take what we send, from Debian's unstable suite and PyPI, below build/engines.
# Nothing is installed over the system's. Two are compiled from Debian's packages with Debian's Go:
#   the OpenTelemetry Collector, which Debian packages as a library only;
#   Prometheus 3.5, from whose package Debian takes out the OTLP receiver; its original source has it.

# shellcheck disable=SC2034 # used by those who source this
PACKAGES_FOR_ENGINES=(prometheus clickhouse-server curl dpkg-dev nginx-light xz-utils)
ENGINES_FOLDER=$PWD/build/engines
ROTEL_VERSION=0.0.1a15
ENGINES_PARTS=$PWD/tests/real_engines

build_engines() {
	local place=$ENGINES_FOLDER
	[ -x "$place/rotel/bin/python" ] || fetch_rotel || return
	[ -x "$place/collector" ] && [ -x "$place/prometheus-otlp" ] && [ -x "$place/unpacked/usr/bin/victoria-metrics" ] && return
	say "fetching VictoriaMetrics and Prometheus 3.5, compiling the OpenTelemetry Collector and Prometheus with its OTLP receiver"
	say "(10 to 30 minutes and 6 GB of disk, once)"
	mkdir -p "$place"/{lists/partial,archives/partial,debs,unpacked,go,tree/src} && list_unstable >"$place/sources.list" || return
	touch "$place/status"
	if ! fetch_packages || ! compile_collector || ! compile_prometheus; then
		say "the engines could not be had; Debian's unstable suite has them"
		return 1
	fi
	rm -rf "$place"/{go,tree,cache,debs,archives,lists,original}
}

fetch_rotel() {
	quietly python3 -m venv "$ENGINES_FOLDER/rotel" || return
	quietly "$ENGINES_FOLDER/rotel/bin/pip" install --quiet "rotel==$ROTEL_VERSION"
}

# The mirror is the one that this system's apt uses.
list_unstable() {
	local site
	site=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | awk '$2 ~ /^[a-z]+$/ {print $1; exit}')
	[ -n "$site" ] && printf 'deb %s sid main\ndeb-src %s sid main\n' "$site" "$site"
}

# ask_apt PROGRAM WORD...: with package lists of its own, as if nothing were installed; the machine's stay as they are.
ask_apt() {
	local place=$ENGINES_FOLDER program=$1
	shift
	"$program" -qq -o "Dir::Etc::sourcelist=$place/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::Lists=$place/lists" \
		-o "Dir::State::status=$place/status" -o "Dir::Cache=$place" -o Acquire::Languages=none -o APT::Sandbox::User=root \
		-o APT::Install-Recommends=0 "$@"
}

fetch_packages() {
	local place=$ENGINES_FOLDER
	quietly ask_apt apt-get update || return
	unpack_packages "$place/unpacked" prometheus victoria-metrics || return
	# shellcheck disable=SC2046 # one word a package
	unpack_packages "$place/go" $(list_libraries golang-go golang-opentelemetry-collector-dev golang-github-prometheus-prometheus-dev)
}

# What these need, as far as it is Go.
list_libraries() {
	ask_apt apt-get -q=1 --simulate install "$@" | awk '/^Inst (golang|gogoproto)/ {print $2}'
}

unpack_packages() {
	local folder=$1 file
	shift
	(cd "$ENGINES_FOLDER/debs" && quietly ask_apt apt-get download "$@") || return
	for file in "$ENGINES_FOLDER"/debs/*.deb; do
		nice -n 10 dpkg-deb -x "$file" "$folder" && rm -f "$file" || return
	done
}

# compile OUTPUT PACKAGE: Debian's way, without modules: everything is found below GOPATH.
compile() {
	local place=$ENGINES_FOLDER go=$ENGINES_FOLDER/go/usr
	quietly env -i -C "$place/tree/src" HOME="$place" PATH=/usr/bin:/bin GOROOT="$(echo "$go"/lib/go-*)" GO111MODULE=off \
		GOPATH="$place/tree:$go/share/gocode" GOCACHE="$place/cache" GOPROXY=off GOTOOLCHAIN=local GOFLAGS=-p=2 CGO_ENABLED=0 \
		nice -n 15 "$(echo "$go"/lib/go-*/bin/go)" build -ldflags '-s -w' -o "$place/$1" "$2"
}

compile_collector() {
	mkdir -p "$ENGINES_FOLDER/tree/src/collector-of-tests"
	cp "$ENGINES_PARTS/collector/main.go" "$ENGINES_FOLDER/tree/src/collector-of-tests/" && compile collector collector-of-tests
}

# Debian's tree, and from the original what Debian took out; two packages that Debian has no more are replaced by what is used of them.
compile_prometheus() {
	local place=$ENGINES_FOLDER tree=$ENGINES_FOLDER/tree/src/github.com/prometheus/prometheus original=$ENGINES_FOLDER/original
	local libraries=$ENGINES_FOLDER/go/usr/share/gocode/src
	mkdir -p "$(dirname "$tree")" "$original"
	rm -rf "$tree" && mv "$libraries/github.com/prometheus/prometheus" "$tree" || return
	# the mirror need not have the packaging beside the original
	(cd "$place/debs" && quietly ask_apt apt-get source --download-only prometheus)
	tar xJf "$(echo "$place"/debs/prometheus_*.orig.tar.xz)" -C "$original" --strip-components=1 || return
	restore_receiver "$original" "$tree" || return
	compile prometheus-otlp github.com/prometheus/prometheus/cmd/prometheus
}

restore_receiver() {
	local original=$1 tree=$2 source=$ENGINES_FOLDER/tree/src
	local translator=$tree/storage/remote/otlptranslator/prometheusremotewrite
	local delta=$source/github.com/open-telemetry/opentelemetry-collector-contrib/processor/deltatocumulativeprocessor
	cp -r "$original/storage/remote/otlptranslator" "$tree/storage/remote/" &&
		cp "$original"/storage/remote/{write_handler,codec}.go "$tree/storage/remote/" &&
		cp "$original/web/api/v1/api.go" "$tree/web/api/v1/" || return
	mkdir -p "$delta" "$source/go.opentelemetry.io/collector/semconv/v1.6.1"
	cp "$ENGINES_PARTS/prometheus/deltatocumulative.go" "$delta/"
	cp "$ENGINES_PARTS/prometheus/semconv.go" "$source/go.opentelemetry.io/collector/semconv/v1.6.1/"
	cp "$ENGINES_PARTS/prometheus/names.go" "$translator/"
	sed -i -e 's/otlptranslator\.NormalizeLabel(/normalizeLabel(/' -e '/"github.com\/prometheus\/otlptranslator"/d' "$translator/helper.go"
	sed -i -E 's/^(\t*)promName := (namer.Build\(.*\))$/\1promName, err := \2\n\1if err != nil {\n\1\terrs = multierr.Append(errs, err)\n\1\tcontinue\n\1}/' \
		"$translator/metrics_to_prw.go"
	sed -i -e 's/^\tEnableRemoteWriteReceiver  bool/&\n\tEnableOTLPWriteReceiver bool/' \
		-e 's/if o.EnableRemoteWriteReceiver {/if o.EnableRemoteWriteReceiver || o.EnableOTLPWriteReceiver {/' \
		-e 's/^\t\to.AcceptRemoteWriteProtoMsgs,$/&\n\t\to.EnableOTLPWriteReceiver, false, false,/' "$tree/web/web.go"
	sed -i 's/^\ta.Flag("web.console.templates"/\ta.Flag("web.enable-otlp-receiver", "Accept OTLP.").BoolVar(\&cfg.web.EnableOTLPWriteReceiver)\n&/' \
		"$tree/cmd/prometheus/main.go"
	printf 'package plugins\n' >"$tree/plugins/plugins.go" # no service discovery of clouds
}
