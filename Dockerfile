# One image for every program of a rack: `python -m app`, `gateway`, `aggregator` or `rack`.
# Plain Dockerfile syntax: the classic builder and BuildKit both build it.
#
#   docker build -t clawbucket .
#   docker build -t clawbucket --build-arg PICOCLAW_IMAGE= .      # the embedded agent runtime alone
#   docker build -t clawbucket --build-arg PIP_INDEX_URL=… .      # packages from elsewhere

ARG PYTHON_IMAGE=python:3.12-slim-bookworm
ARG PICOCLAW_IMAGE=sipeed/picoclaw:latest

# The upstream agent ---------------------------------------------------------------------------------------
# Upstream's image has it at /usr/local/bin/picoclaw. Without an image the stage is Python's, which has none.
FROM ${PICOCLAW_IMAGE:-${PYTHON_IMAGE}} AS upstream

# What is installed ----------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS build

# Nothing in this stage ends up in the image but /opt/venv and /opt/bin: neither pip, nor what it was told.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_TRUSTED_HOST
ARG PIP_CERT
ARG PIP_DEFAULT_TIMEOUT
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1

# Changes with the lock file only: an edit of the sources reuses this layer.
# pip takes a variable that is set to nothing for an address, so that those are unset.
# The bytecode is never compared with its source, which nobody can change: the quickest start.
COPY requirements.lock /tmp/
RUN set -eu; \
    for name in INDEX_URL EXTRA_INDEX_URL FIND_LINKS TRUSTED_HOST CERT DEFAULT_TIMEOUT; do \
        if eval "[ -z \"\${PIP_$name-}\" ]"; then unset "PIP_$name"; fi; \
    done; \
    python3 -m venv /opt/venv; \
    /opt/venv/bin/python -m pip install --no-compile --require-hashes --only-binary :all: \
        --progress-bar off -r /tmp/requirements.lock; \
    /opt/venv/bin/python -m pip uninstall --quiet --yes pip; \
    cd /opt/venv/lib/python3*/site-packages; \
    rm -rf gevent/tests gevent/testing greenlet/tests psutil/tests; \
    find . -name '*.c' -o -name '*.pyx' -o -name '*.h' | xargs rm -f; \
    /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash .

# COPY needs one file at least: /etc/passwd is in every image that has no picoclaw.
ARG PICOCLAW_IMAGE
COPY --from=upstream /usr/local/bin/picocla[w] /etc/passw[d] /tmp/upstream/
RUN mkdir -p /opt/bin; \
    if [ -x /tmp/upstream/picoclaw ]; then \
        mv /tmp/upstream/picoclaw /opt/bin/picoclaw; \
    elif [ -n "$PICOCLAW_IMAGE" ]; then \
        echo "PICOCLAW_IMAGE: $PICOCLAW_IMAGE has no /usr/local/bin/picoclaw;" \
            "give another, or --build-arg PICOCLAW_IMAGE= for the embedded agent runtime alone" >&2; \
        exit 1; \
    fi

# What runs ------------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE}

LABEL org.opencontainers.image.title="clawbucket" \
      org.opencontainers.image.description="A swarm testbed in which every replica is an autonomous trooper" \
      org.opencontainers.image.licenses="MIT"

# The directory is there so that a named volume put in its place belongs to the user.
RUN groupadd --system --gid 10001 claw \
    && useradd --system --uid 10001 --gid claw --no-create-home --home-dir /tmp --shell /usr/sbin/nologin claw \
    && install -d -o claw -g claw -m 0700 /tmp/clawbucket-revolt-snapshots \
    && rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/bin/pip* /usr/local/lib/python3*/ensurepip \
        /usr/lib/python3/dist-packages/pip* /usr/bin/pip*

COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/bin /usr/local/bin

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/srv/clawbucket \
    PYTHONUNBUFFERED=1 \
    CLAWBUCKET_BIND=0.0.0.0:8080 \
    CLAWBUCKET_LOG_FORMAT=json
# Docker's DNS leaves a question about a service unanswered while its last task goes. The resolver would
# wait 10 s for that, and longer than the service is away; memcached's users may not.
ENV RES_OPTIONS="timeout:1 attempts:2"
WORKDIR /srv/clawbucket

COPY . .
# Some Python images come without the bytecode of their library. What the programs import is compiled here.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash . \
    && python -c "import app.factory, app.services, aggregator.factory, gateway.server, rack.api, rack.__main__"
ENV PYTHONDONTWRITEBYTECODE=1

USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# Swarm puts a task to work at its first good answer, an interval after its start; hence so short.
HEALTHCHECK --interval=3s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-S", "docker/healthcheck.py"]
CMD ["python", "-m", "app"]
