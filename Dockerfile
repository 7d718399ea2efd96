# syntax=docker/dockerfile:1
# docker build --build-arg COMMIT="$(git rev-parse --short=12 HEAD)" -t consciousness-system .

FROM rust:1.95-slim-bookworm AS build
# Another profile is for trying the steps out.
ARG PROFILE=release
ENV CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_RELEASE_LTO=thin
WORKDIR /build

# The dependencies alone, with stubs in place of the sources: a layer that only Cargo.lock makes anew.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src tests/scenarios benches/streams \
    && for stub in src/build.rs src/main.rs tests/scenarios/main.rs benches/engine.rs benches/streams/main.rs; do \
           echo 'fn main() {}' >"$stub"; \
       done \
    && touch src/lib.rs \
    && cargo build --locked --profile "$PROFILE"

# The program. Stubs of tests and benches stay: the manifest names them, and nothing builds them.
COPY config config
COPY src src
ARG COMMIT=unknown
RUN find src -name '*.rs' -exec touch {} + \
    && CONSCIOUSNESS_COMMIT="$COMMIT" cargo install --locked --profile "$PROFILE" --path . --root /out --no-track

# No shell, no package manager; glibc, certificates, a user without rights.
FROM gcr.io/distroless/cc-debian12:nonroot
ARG COMMIT=unknown
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="consciousness-system" \
      org.opencontainers.image.description="A live self-model for AI agents" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /out/bin/consciousness-system /usr/bin/consciousness-system
COPY LICENSE /usr/share/doc/consciousness-system/LICENSE
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s --retries=3 CMD ["/usr/bin/consciousness-system", "probe"]
# SIGTERM, the default, drains.
ENTRYPOINT ["/usr/bin/consciousness-system"]
CMD ["serve"]
