# Sourced by ./test: programs of Kubernetes, compiled once from Debian's source package into build/kubernetes.
# Debian 12 is the last whose package has the servers and all that they are made of; nothing else is fetched.

# shellcheck disable=SC2034 # used by those who source this
PACKAGES_FOR_KUBERNETES=(golang-go etcd-server etcd-client dpkg-dev openssl)
# shellcheck disable=SC2034
PACKAGES_FOR_CLUSTER=(containerd runc containernetworking-plugins iptables conntrack busybox-static iproute2 mmdebstrap podman)
# shellcheck disable=SC2034
PROGRAMS_OF_CLUSTER=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)
KUBERNETES_VERSION=1.20.2
KUBERNETES_FOLDER=$PWD/build/kubernetes

# build_kubernetes PROGRAM...: those that are not there yet.
build_kubernetes() {
	local missing=() name
	command -v kubectl >/dev/null || install_packages kubernetes-client || return
	for name in "$@"; do
		[ -x "$KUBERNETES_FOLDER/$name" ] || missing+=("$name")
	done
	[ ${#missing[@]} -eq 0 ] && return
	say "compiling ${missing[*]} $KUBERNETES_VERSION (10 to 30 minutes and 3 GB of disk, once)"
	if ! fetch_source || ! compile_source "${missing[@]}"; then
		say "Kubernetes $KUBERNETES_VERSION could not be compiled; Debian 12 has its source, and Go 1.19 compiles it"
		return 1
	fi
	rm -rf "$KUBERNETES_FOLDER"/{go,cache,lists,compiled,openapi-gen,violations} "$KUBERNETES_FOLDER"/kubernetes_*
}

# Where this machine's packages come from, for sources.
list_source_repositories() {
	sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources 2>/dev/null && return
	sed -nE 's/^deb (\[[^]]*\] )?(\S+) (\S+) (.*)/Types: deb-src\nURIs: \2\nSuites: \3\nComponents: \4\n/p' /etc/apt/sources.list
}

# Package lists of its own: the machine's stay as they are.
fetch_source() {
	local place=$KUBERNETES_FOLDER options
	options=(-qq -o "Dir::Etc::sourcelist=$place/repositories.sources" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::Lists=$place/lists" -o APT::Sandbox::User=root)
	rm -rf "$place/go" && mkdir -p "$place/lists/partial" "$place/go/src/k8s.io" || return
	list_source_repositories >"$place/repositories.sources"
	quietly apt-get "${options[@]}" update || return
	quietly env -C "$place" apt-get "${options[@]}" source --download-only kubernetes || return
	quietly dpkg-source --extract "$place"/kubernetes_*"really$KUBERNETES_VERSION"-*.dsc "$place/go/src/k8s.io/kubernetes"
}

# Without Go modules, as debian/rules does it: what it is made of lies in vendor/, which Go then finds below GOPATH.
# And without the software of cloud providers and docker, which takes longer to compile than all the rest.
compile_source() {
	local place=$KUBERNETES_FOLDER tree=$KUBERNETES_FOLDER/go/src/k8s.io/kubernetes
	local go=(env GO111MODULE=off GOPATH="$place/go" GOCACHE="$place/cache" GOPROXY=off GOFLAGS=-p=2 CGO_ENABLED=0 nice -n 10)
	quietly "${go[@]}" go build -o "$place/openapi-gen" k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen || return
	quietly "${go[@]}" env -C "$tree" "$place/openapi-gen" --output-base "$place/go/src" --input-dirs "$(list_described_packages "$tree")" \
		--output-package k8s.io/kubernetes/pkg/generated/openapi --output-file-base zz_generated.openapi \
		--go-header-file vendor/k8s.io/code-generator/hack/boilerplate.go.txt --report-filename "$place/violations" || return
	mkdir -p "$place/compiled"
	quietly "${go[@]}" go build -o "$place/compiled/" -tags "providerless dockerless" \
		-ldflags "-s -w -X k8s.io/kubernetes/vendor/k8s.io/component-base/version.gitVersion=v$KUBERNETES_VERSION" \
		"${@/#/k8s.io/kubernetes/cmd/}" || return
	mv "$place/compiled"/* "$place/"
}

# Packages whose types the server describes to its clients (the source has no generated code for that), with commas between.
list_described_packages() {
	(cd "$1" && grep -RlE --include=*.go '\+k8s:openapi-gen=' pkg cmd plugin vendor/k8s.io/) |
		grep -vE 'vendor/k8s.io/(code-generator|sample-apiserver|gengo|kube-openapi)/|_test.go|/testdata/' |
		sed -E 's#(.*)/[^/]*$#k8s.io/kubernetes/\1#' | LC_ALL=C sort -u | paste -sd,
}
