# The production image: dispatcher, retrier and the other verbs, without the tools that build or test them.
#
#   docker build -t headrace .                                           buildah and podman work as well
#   docker build --secret id=pip.conf,src=$HOME/.config/pip/pip.conf .   where pip needs an index or proxy of its own
#   docker build --label org.opencontainers.image.revision="$(git rev-parse HEAD)" .
#
# BASE may be any Debian with Python 3.11 or newer and its pip. There is no HEALTHCHECK, because one image serves many
# verbs, each with a port of its own or with none; compose.yaml and the chart define their own probes. `make image` tests
# all of this.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# The base's own pip installs into environments without pip, so that the image gets none. The runtime lock is what the
# extras `server` and `otel` come to; the wheel by itself would ask for the client's packages alone.
RUN python3 -m venv --without-pip /opt/headrace && python3 -m venv --without-pip /build/tools
COPY requirements-runtime.lock requirements-build.lock ./
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m pip --python /opt/headrace/bin/python install --only-binary :all: --require-hashes -r requirements-runtime.lock \
 && python3 -m pip --python /build/tools/bin/python install --only-binary :all: --require-hashes -r requirements-build.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY headrace headrace
COPY broker broker
COPY consumers consumers
COPY schemas schemas
RUN /build/tools/bin/hatchling build -t wheel -d dist \
 && python3 -m pip --python /opt/headrace/bin/python install --no-deps --no-index dist/*.whl

FROM ${BASE}
LABEL org.opencontainers.image.title="headrace" \
      org.opencontainers.image.description="One dispatcher for a company's OpenAI quota: lanes in Kafka, a token budget, exactly one outcome a request." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
# SAFEPATH: no file in the working directory can shadow a module. DONTWRITEBYTECODE: the root file system may be
# read-only.
ENV PATH=/opt/headrace/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Outside a container probes, metrics and status are open to the local machine only. A container's address is reachable
# only through published ports or its network. As variables these override a settings file: set them to listen elsewhere.
ENV HEADRACE_DISPATCHER__HTTP_HOST=0.0.0.0 HEADRACE_RETRIER__HTTP_HOST=0.0.0.0 \
    HEADRACE_GATEWAY__HTTP_HOST=0.0.0.0 HEADRACE_GATEWAY__METRICS_HOST=0.0.0.0
RUN groupadd --gid 10001 headrace \
 && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin headrace
COPY --from=build /opt/headrace /opt/headrace
# pip has compiled our modules; this compiles the modules of the standard library that we use, and fails if one is
# missing.
RUN PYTHONDONTWRITEBYTECODE="" headrace dispatcher --help > /dev/null
USER 10001:10001
WORKDIR /
STOPSIGNAL SIGTERM
EXPOSE 8080
ENTRYPOINT ["headrace"]
CMD ["dispatcher"]
