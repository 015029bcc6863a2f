#!/bin/sh
# Makes tones/, rtp/ and their lines of MANIFEST.tsv anew: renew.sh ROOT BUILD
set -eu
cd "$1/testvectors"
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
"$2/bin/tonegate-vectors" --small --seed 1 "$made/set"
rm -rf tones rtp
mv "$made/set/tones" "$made/set/rtp" .
grep -v -e '^tones/' -e '^rtp/' MANIFEST.tsv >"$made/manifest"
tail -n +2 "$made/set/MANIFEST.tsv" >>"$made/manifest"
cat "$made/manifest" >MANIFEST.tsv
sh manifest.sh "$1"
