# docker build -t honeyguide .
#
# Probes are compiled against the types of a kernel (BTF) and run on others too (CO-RE). The kernel is that of the build
# host; where its BTF is out of reach, put any kernel's into probes/ and name it: --build-arg BTF=vmlinux.btf
# Packages of Debian stable are not pinned: their security updates are wanted.

FROM debian:12-slim AS probes
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install -y --no-install-recommends bpftool clang libbpf-dev llvm make && \
    rm -rf /var/lib/apt/lists/*
COPY probes /src/probes
WORKDIR /src/probes
ARG BTF=/sys/kernel/btf/vmlinux
RUN make BTF="$BTF" && rm -rf build/include

FROM debian:12-slim AS environment
# hadolint ignore=DL3008
RUN apt-get update && \
    apt-get install -y --no-install-recommends python3 python3-venv && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md deploy/constraints.txt ./
COPY collector collector
# --system-site-packages: sees Debian's bcc where EXTRA_PACKAGES brings it
RUN python3 -m venv --system-site-packages /opt/honeyguide && \
    /opt/honeyguide/bin/pip install --no-cache-dir --constraint constraints.txt ".[grpc]" && \
    rm -rf /opt/honeyguide/bin/pip* /opt/honeyguide/lib/python3*/site-packages/pip \
        /opt/honeyguide/lib/python3*/site-packages/setuptools /opt/honeyguide/lib/python3*/site-packages/numpy/*/tests

FROM debian:12-slim
LABEL org.opencontainers.image.title="honeyguide" \
      org.opencontainers.image.description="Zero-instrumentation observability for every process on a Linux node" \
      org.opencontainers.image.licenses="Apache-2.0"
# python3-bpfcc (150 MiB with its LLVM) for probes of your own in bcc's dialect
ARG EXTRA_PACKAGES=""
# hadolint ignore=DL3008,SC2086
RUN apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates libbpf1 python3 $EXTRA_PACKAGES && \
    rm -rf /var/lib/apt/lists/*
COPY --from=environment /opt/honeyguide /opt/honeyguide
COPY --from=probes /src/probes /usr/share/honeyguide/probes
COPY examples /usr/share/honeyguide/examples
ENV PATH=/opt/honeyguide/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
EXPOSE 9464
# Root inside, because an image cannot give capabilities to another user, but with these capabilities only:
#   docker run --pid=host --network=host --cgroupns=host --read-only --cap-drop=ALL \
#     --cap-add=BPF --cap-add=PERFMON --cap-add=NET_ADMIN --cap-add=SYS_PTRACE --cap-add=DAC_READ_SEARCH \
#     -v /sys/fs/cgroup:/sys/fs/cgroup:ro honeyguide
# What each is for, and where SYS_ADMIN cannot be avoided: docs/running.md
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/healthz', timeout=3)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["honeyguide"]
CMD ["run"]
