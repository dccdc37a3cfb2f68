# Sourced by ./test: the agent's image, made by podman from our Dockerfile. What that is built FROM comes from no registry here:
# mmdebstrap makes it of Debian's packages. Settings of pip and authorities of this machine are lent to the build, not copied.

AGENT_IMAGE=$PWD/build/image/honeyguide.tar
AGENT_IMAGE_BASE=localhost/debian:12-slim

build_agent_image() {
	local folder=${AGENT_IMAGE%/*} podman lent=() place
	mkdir -p "$folder"
	printf '[containers]\npids_limit = 0\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "runc"\n' >"$folder/containers.conf"
	podman=(env "CONTAINERS_CONF=$folder/containers.conf" nice -n 10 podman --root "$folder/store" --runroot "$folder/run" --tmpdir "$folder/tmp")
	say "building the agent's image (5 minutes at first, then one)"
	if ! "${podman[@]}" image exists "$AGENT_IMAGE_BASE"; then
		quietly nice -n 10 mmdebstrap --variant=minbase --mode=root bookworm "$folder/debian.tar" || return
		quietly "${podman[@]}" import "$folder/debian.tar" "$AGENT_IMAGE_BASE" || return
		rm "$folder/debian.tar"
	fi
	for place in /etc/pip.conf /usr/local/share/ca-certificates; do
		[ -e "$place" ] && lent+=(--volume "$place:$place:ro")
	done
	quietly "${podman[@]}" build --isolation chroot --network host --pull=never "${lent[@]}" --tag localhost/honeyguide:test . || return
	rm -f "$AGENT_IMAGE"
	quietly "${podman[@]}" save --format oci-archive --output "$AGENT_IMAGE" localhost/honeyguide:test || return
	quietly "${podman[@]}" image prune --force
}
