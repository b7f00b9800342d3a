# shellcheck shell=bash
# How the scripts of this folder reach an MC system, written NAMESPACE/RELEASE: a release of the chart, or what it has as
# fullnameOverride, because names of Services and Secrets begin with that. Sourced, never run.
# Wants kubectl, jq and grpcurl in PATH, and KUBECONFIG or the default context.

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

for program in kubectl jq grpcurl openssl; do
    command -v "$program" >/dev/null || die "$program is needed in PATH"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/crossband.XXXXXX")
# shellcheck disable=SC2317  # reached by the trap
clean_up() {
    local pid_file
    for pid_file in "$work"/*.pid; do
        [ ! -e "$pid_file" ] || kill "$(cat "$pid_file")" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT

namespace_of() { echo "${1%%/*}"; }
release_of() { echo "${1##*/}"; }

# operator_files SYSTEM: the folder with ca.crt, tls.crt and tls.key of its operator, fetched once.
operator_files() {
    local folder name
    folder=$work/$(namespace_of "$1")-$(release_of "$1")
    if [ ! -d "$folder" ]; then
        (umask 077 && mkdir "$folder")
        for name in ca.crt tls.crt tls.key; do
            kubectl -n "$(namespace_of "$1")" get secret "$(release_of "$1")-certificate-operator" -o json |
                jq -er --arg name "$name" '.data[$name]' | base64 -d >"$folder/$name" || die "$1 has no certificate of an operator"
        done
    fi
    echo "$folder"
}

# system_id SYSTEM: the MC system, as its operator's certificate names it.
system_id() {
    openssl x509 -in "$(operator_files "$1")/tls.crt" -noout -ext subjectAltName |
        grep -oE 'spiffe://[^/]+' | head -n 1 | sed 's|spiffe://||'
}

# forward SYSTEM SERVICE PORT: the local port through which it is reached.
forward() {
    local log key
    key=$(tr '/' '-' <<<"$1-$2-$3")
    log=$work/forward-$key
    if [ ! -e "$log" ]; then
        : >"$log"
        kubectl -n "$(namespace_of "$1")" port-forward "service/$(release_of "$1")-$2" ":$3" >>"$log" 2>&1 &
        echo $! >"$log.pid"
        for _ in {1..100}; do
            grep -q '^Forwarding from 127' "$log" && break
            sleep 0.1
        done
    fi
    sed -nE 's/^Forwarding from 127.0.0.1:([0-9]+).*/\1/p' "$log" | head -n 1
}

# rpc SYSTEM ENTITY METHOD [JSON]: calls a method as operator; prints the answer.
rpc() {
    local files port
    files=$(operator_files "$1")
    port=$(forward "$1" "$2" 7000)
    [ -n "$port" ] || die "cannot reach $2 of $1: $(cat "$work"/forward-*)"
    grpcurl -cacert "$files/ca.crt" -cert "$files/tls.crt" -key "$files/tls.key" -max-time 20 \
        -d "${4:-{\}}" "localhost:$port" "$3"
}
