#!/bin/sh
# Debian packages that tests and bench use. As root on Debian the missing ones are installed, elsewhere
# they are named loudly, and the tests that need them are skipped.
# A line: program (or file), package. With SWARM=yes also those of `make swarm-test`.
set -u
missing=""
while read -r program package; do
    [ -n "$program" ] || continue
    case $program in /*) [ -e "$program" ] && continue ;; esac
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "$program" >/dev/null 2>&1 || missing="$missing $package"
done <<LIST
haproxy haproxy
nginx nginx-light
/usr/lib/nginx/modules/ngx_stream_module.so libnginx-mod-stream
wrk wrk
curl curl
strace strace
ip iproute2
ps procps
patch patch
openssl openssl
h2load nghttp2-client
redis-server redis-server
${SWARM:+dockerd docker.io}
${SWARM:+debootstrap debootstrap}
${SWARM:+iptables iptables}
LIST
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    # Debian starts a server as soon as it is installed; here they are only tools.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT INT TERM
    fi
    echo "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    # shellcheck disable=SC2086  # a list of words
    if { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } > "$log" 2>&1 < /dev/null; then
        rm -f "$log"
        exit 0
    fi
    tail -n 20 "$log"
    rm -f "$log"
fi
echo "********************************************************************************"
echo "* missing Debian packages; what needs them is skipped:"
echo "*    apt-get install$missing"
echo "********************************************************************************"
# In CI nothing may be missing.
[ "${DFPROXY_REQUIRE:-}" != all ]
