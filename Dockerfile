# syntax=docker/dockerfile:1
# Builds the manager: one static binary without a shell around it, run as nobody in particular.
#   docker build --build-arg VERSION=v0.1.0 -t registry.example.com/fwupgrade-operator:v0.1.0 .
# The tags of the base images move. Who wants the same image twice names them by digest:
#   --build-arg GO_IMAGE=golang:1.26@sha256:… --build-arg BASE_IMAGE=gcr.io/distroless/static:nonroot@sha256:…
ARG GO_IMAGE=golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static:nonroot
FROM --platform=$BUILDPLATFORM $GO_IMAGE AS build
ARG TARGETOS
ARG TARGETARCH
WORKDIR /src
# The modules are a layer of their own, so that a changed source file does not download them again.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY api/ api/
COPY cmd/manager/ cmd/manager/
COPY controllers/ controllers/
COPY internal/ internal/
COPY webhook/ webhook/
# What --version, the log and the metric fwupgrade_build_info say; the repository itself is not in the context.
ARG VERSION=
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath \
    -ldflags "-s -w -X main.linkedVersion=$VERSION" -o /out/manager ./cmd/manager

FROM $BASE_IMAGE
COPY --from=build /out/manager /manager
USER 65532:65532
ENTRYPOINT ["/manager"]
