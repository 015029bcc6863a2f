#!/bin/sh
# make_certificates.sh OUTDIR [NAME [DAYS]]: a private authority and a server certificate it signed (EC P-256), for the demo and
# for tests on loopback. Leaves ca.pem, server.pem, server.key, and for tests of client certificates client.pem, client.key; the authority's
# key is not kept.
# NAME (default "localhost") and 127.0.0.1 are what the certificate is good for; with NAME "-" it names only
# "elsewhere.invalid", which tests use as a wrong host name. DAYS (default 30) may be -1: a certificate of yesterday.
set -eu
[ $# -ge 1 ] || { echo "usage: make_certificates.sh OUTDIR [NAME [DAYS]]" >&2; exit 2; }
command -v openssl >/dev/null || { echo "make_certificates.sh: needs openssl (Debian package openssl)" >&2; exit 1; }
out=$1
name=${2:-localhost}
days=${3:-30}
names="DNS:$name,IP:127.0.0.1"
[ "$name" != - ] || { name=elsewhere.invalid; names="DNS:$name"; }
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 077
openssl ecparam -name prime256v1 -genkey -noout -out "$work/ca.key"
openssl req -x509 -new -sha256 -key "$work/ca.key" -days 30 -subj "/CN=Tonegate local authority" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign" -out "$out/ca.pem"
openssl ecparam -name prime256v1 -genkey -noout -out "$out/server.key"
openssl req -new -sha256 -key "$out/server.key" -subj "/CN=$name" -out "$work/server.csr"
printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' "$names" >"$work/server.ext"
openssl x509 -req -sha256 -in "$work/server.csr" -CA "$out/ca.pem" -CAkey "$work/ca.key" -CAcreateserial \
    -CAserial "$work/serial" -days "$days" -extfile "$work/server.ext" -out "$out/server.pem" 2>/dev/null
openssl ecparam -name prime256v1 -genkey -noout -out "$out/client.key"
openssl req -new -sha256 -key "$out/client.key" -subj "/CN=merchant" -out "$work/client.csr"
printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n' >"$work/client.ext"
openssl x509 -req -sha256 -in "$work/client.csr" -CA "$out/ca.pem" -CAkey "$work/ca.key" -CAcreateserial \
    -CAserial "$work/serial" -days "$days" -extfile "$work/client.ext" -out "$out/client.pem" 2>/dev/null
chmod 644 "$out/ca.pem" "$out/server.pem" "$out/client.pem"
