#!/bin/sh
# Runs page_test.js where node is; exit 77 means skipped.
if ! command -v node >/dev/null; then
    echo "skipped: no node here (apt-get install nodejs npm chromium; npm install playwright-core)"
    exit 77
fi
exec node "$(dirname "$0")/page_test.js" "$@"
