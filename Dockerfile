# The image of dfproxy.
#
#     docker build --tag dfproxy .
#     docker build --tag dfproxy --build-arg BASE=my-python .
#
# BASE is any image of the Debian family with Python 3.11 or newer as `python3`, and its venv. Packages come from the
# folder wheels/ if there is one (then from nowhere else), otherwise from PyPI. `make swarm-image` builds it without
# any image registry.

ARG BASE=python:3.11-slim

FROM ${BASE} AS build
COPY . /src
WORKDIR /src
# pip stands in an environment of its own and does not become part of the image. It compiles all modules: with a
# read-only root file system they could not be compiled later.
RUN python3 -m venv /tmp/pip \
 && python3 -m venv --without-pip /opt/dfproxy \
 && if [ -d wheels ]; then from="--no-index --find-links /src/wheels"; fi \
 && PIP_NO_INDEX=${from:+1} PIP_FIND_LINKS=${from:+/src/wheels} \
    /tmp/pip/bin/pip --python /opt/dfproxy/bin/python install --no-cache-dir --disable-pip-version-check .

FROM ${BASE}
# Docker since 20.10 lets any user of a container bind ports below 1024 (net.ipv4.ip_unprivileged_port_start=0), so
# neither root nor a capability is needed: `cap_drop: [ALL]` and `no-new-privileges` work. Where that setting is
# missing (host network, older engines), run it as root with `--user 0`; see docs/swarm.md.
# The folders that it writes to are open to any user, and so is a tmpfs or a new volume mounted there: it takes their
# mode. Whatever is private stands in a folder of its own inside, which the proxy makes for itself alone.
RUN groupadd --system --gid 990 dfproxy \
 && useradd --system --uid 990 --gid dfproxy --no-create-home --home-dir /var/lib/dfproxy --shell /usr/sbin/nologin dfproxy \
 && mkdir -p /cfg /certs /errorfiles /logs /plugins /templates /var/lib/dfproxy \
 && chmod 1777 /cfg /certs /logs /var/lib/dfproxy
COPY --from=build /opt/dfproxy /opt/dfproxy
COPY contrib/ready.py /opt/dfproxy/ready.py
ENV PATH=/opt/dfproxy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STATE_DIR=/var/lib/dfproxy/state \
    CONFIG_TEXT=/cfg/haproxy.cfg
# The index of plugins (dropin.cache), of Twisted's and ours: nobody may write it once the image runs.
RUN twistd dfproxy --help > /dev/null \
 && ls /opt/dfproxy/lib/python3*/site-packages/twisted/plugins/dropin.cache \
       /opt/dfproxy/lib/python3*/site-packages/dfproxy/plugins/dropin.cache
USER dfproxy
WORKDIR /
EXPOSE 80 443 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=15s --retries=3 \
    CMD ["/opt/dfproxy/bin/python", "-IS", "/opt/dfproxy/ready.py"]
# twistd is process 1: it ends gracefully at SIGTERM, and options of the proxy may follow the image's name.
ENTRYPOINT ["twistd", "--nodaemon", "--pidfile=", "dfproxy"]
