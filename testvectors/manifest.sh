#!/bin/sh
# Every file of a vector set stands in MANIFEST.tsv with its digest, and every line there has its file: manifest.sh ROOT
set -eu
cd "$1/testvectors"
listed=$(mktemp)
trap 'rm -f "$listed"' EXIT
tail -n +2 MANIFEST.tsv | awk -F '\t' 'NF != 5 { exit 1 } { print $4 "  " $1 }' >"$listed"
sha256sum --quiet --strict --check "$listed"
failed=0
for file in $(find sip tones rtp -type f ! -name 'verdicts.tsv' ! -name '.gitattributes'); do
    grep -q "  $file\$" "$listed" || { echo "not in MANIFEST.tsv: $file"; failed=1; }
done
[ "$failed" = 0 ] && echo "$(wc -l <"$listed") vectors as listed"
exit $failed
