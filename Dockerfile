# SPDX-License-Identifier: Apache-2.0
# One image a program: docker build --target PROGRAM. Programs are static; an image holds one of them, CA certificates and
# nothing else.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/ \
        ./orchestrators/cmd/root-orchestrator ./orchestrators/cmd/cluster-orchestrator \
        ./nodeengine/cmd/NodeEngine ./dataplane/cmd/NetManager ./tools/cmd/oak ./tools/cmd/oak-net

FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/

FROM base AS root-orchestrator
COPY --from=build /out/root-orchestrator /
USER 65532:65532
EXPOSE 10000
ENTRYPOINT ["/root-orchestrator"]

FROM base AS cluster-orchestrator
COPY --from=build /out/cluster-orchestrator /
USER 65532:65532
EXPOSE 10100 10003 10003/udp
ENTRYPOINT ["/cluster-orchestrator"]

# NodeEngine and NetManager act on the host: they need its network namespace, /run, /sys/fs/bpf, /sys/fs/cgroup, and privileges.
FROM base AS NodeEngine
COPY --from=build /out/NodeEngine /
ENTRYPOINT ["/NodeEngine"]

FROM base AS NetManager
COPY --from=build /out/NetManager /out/oak-net /
ENTRYPOINT ["/NetManager"]

FROM base AS oak
COPY --from=build /out/oak /
USER 65532:65532
ENTRYPOINT ["/oak"]
