# SPDX-License-Identifier: Apache-2.0
# One image a program: docker build --target PROGRAM. Programs are static; an image holds one of them, CA certificates, a folder for its state,
# and nothing else: no shell. BUILD_IMAGE is what they are built in: anything with Go and CA certificates.
# BuildKit builds it: with Docker before 23, DOCKER_BUILDKIT=1.

ARG BUILD_IMAGE=golang:1.26-bookworm
FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
ARG VERSION=dev
# Set by builders of several platforms at once; empty for the machine's own.
ARG TARGETARCH
# What was fetched and compiled is kept for the next build, unless the image to build in has places of its own for that.
RUN --mount=type=cache,target=/kept \
    export GOCACHE=${GOCACHE:-/kept/build} GOMODCACHE=${GOMODCACHE:-/kept/modules} && \
    CGO_ENABLED=0 GOARCH=${TARGETARCH} go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/ \
        ./orchestrators/cmd/root-orchestrator ./orchestrators/cmd/cluster-orchestrator \
        ./nodeengine/cmd/NodeEngine ./dataplane/cmd/NetManager ./tools/cmd/oak ./tools/cmd/oak-net && mkdir /out/empty

FROM scratch AS base
ARG VERSION=dev
LABEL org.opencontainers.image.title="Oakestra" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/oakestra/oakestra-ebpf"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/

# Orchestrators need no privilege. Volumes that are mounted over these folders get their owner.
FROM base AS orchestrator
COPY --from=build --chown=65532:65532 /out/empty /var/lib/oakestra
COPY --from=build --chown=65532:65532 /out/empty /tokens
COPY --from=build --chown=65532:65532 /out/empty /passwords
USER 65532:65532

FROM orchestrator AS root-orchestrator
COPY --from=build /out/root-orchestrator /
EXPOSE 10000
HEALTHCHECK --interval=5s --timeout=6s --start-period=60s --retries=3 CMD ["/root-orchestrator", "health"]
ENTRYPOINT ["/root-orchestrator"]

FROM orchestrator AS cluster-orchestrator
COPY --from=build /out/cluster-orchestrator /
EXPOSE 10100 10003 10003/udp 10100/udp
HEALTHCHECK --interval=5s --timeout=6s --start-period=60s --retries=3 CMD ["/cluster-orchestrator", "health"]
ENTRYPOINT ["/cluster-orchestrator"]

# NodeEngine and NetManager act on the host: they need its network namespace, /run, /sys/fs/bpf, /sys/fs/cgroup, and privileges.
FROM base AS NodeEngine
COPY --from=build /out/NodeEngine /out/NetManager /
ENTRYPOINT ["/NodeEngine"]

FROM base AS NetManager
COPY --from=build /out/NetManager /out/oak-net /
ENTRYPOINT ["/NetManager"]

FROM base AS oak
COPY --from=build /out/oak /
USER 65532:65532
ENTRYPOINT ["/oak"]
