# The server, with a Postgres for trials. docs/installing.md says how to run it; scripts/image.sh builds it without Docker.
ARG RUST=docker.io/library/rust:1.95-trixie
ARG DEBIAN=docker.io/library/debian:trixie-slim
# The stage or image that has /countersign.
ARG PROGRAM=compile

FROM ${RUST} AS compile
WORKDIR /source
COPY . .
RUN cargo build --locked --profile dist --package countersign \
    && scripts/split_debug.sh target/dist/countersign /

FROM ${PROGRAM} AS program

FROM ${DEBIAN}
# Postgres is for --dev alone, which makes a cluster of its own: the package must not make one.
RUN mkdir -p /etc/postgresql-common \
    && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf \
    && apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        --option Dpkg::Options::=--force-confold postgresql \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/countersign --shell /usr/sbin/nologin countersign \
    && install --directory --owner countersign --group countersign --mode 0700 /var/lib/countersign
COPY --from=program /countersign /usr/local/bin/countersign
USER 10001:10001
WORKDIR /var/lib/countersign
ENV COUNTERSIGN_DATA_DIR=/var/lib/countersign
VOLUME /var/lib/countersign
EXPOSE 8080
ENTRYPOINT ["countersign"]
# A trial. In production, give `serve --config FILE` and a database.
CMD ["serve", "--dev", "--container"]
