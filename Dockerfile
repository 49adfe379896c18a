# Raybot in one small image: its own user, nothing writable but /data and /tmp.
FROM python:3.13-slim AS build

# Any of these, with spaces between: `--build-arg PACKAGES="web charts postgres"` has the desk and
# the playground, draws charts of usage, and speaks to PostgreSQL.
ARG PACKAGES=""
WORKDIR /raybot
COPY requirements requirements
RUN set -e; \
    python -m venv --without-pip /opt/raybot; \
    for each in run ${PACKAGES}; do \
        pip --python /opt/raybot/bin/python install --no-cache-dir --require-hashes -r "requirements/${each}.txt"; \
    done; \
    pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY adapters adapters
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels . \
    && pip --python /opt/raybot/bin/python install --no-cache-dir --no-deps wheels/*.whl

FROM python:3.13-slim

# What installs packages is not needed any more.
RUN pip uninstall --yes pip \
    && useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin raybot \
    && install --directory --owner=raybot --group=raybot --mode=0700 /data
COPY --from=build /opt/raybot /opt/raybot

# Inside a container only the public port has to be reachable; health is asked from within.
# DL3064 takes the name of the private port for that of a secret.
# hadolint ignore=DL3064
ENV PATH=/opt/raybot/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAYBOT_BOT__DATA_DIR=/data \
    RAYBOT_BOT__PUBLIC_HOST=0.0.0.0 \
    RAYBOT_BOT__PUBLIC_PORT=8080 \
    RAYBOT_BOT__PRIVATE_PORT=8081
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; at = http.client.HTTPConnection(os.environ.get('RAYBOT_BOT__PRIVATE_HOST') or '127.0.0.1', int(os.environ['RAYBOT_BOT__PRIVATE_PORT']), timeout=4); at.request('GET', '/livez'); sys.exit(at.getresponse().status != 200)"]
CMD ["raybot", "run", "--config", "/data/config.toml"]
