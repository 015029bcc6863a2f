#!/bin/sh
# `tonegate check`: 0 for the example, 2 with file, line and expectation for a mistake, 2 for a wrong call.
# check_command.sh TONEGATE EXAMPLE
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() {
    echo "FAILED: $1"
    exit 1
}
"$1" check --config "$2" || fail "the example was refused"
sed 's/lookahead_ms: 20/lookahead_ms: 999/' "$2" >"$folder/bad.yaml"
line=$(grep -n 'lookahead_ms' "$2" | cut -d: -f1)
"$1" check --config "$folder/bad.yaml" 2>"$folder/said" && fail "a wrong value was accepted"
"$1" check --config "$folder/bad.yaml" 2>/dev/null
[ $? = 2 ] || fail "the exit code is not 2"
grep -q "bad.yaml:$line: lookahead_ms: expected a whole number 0..100" "$folder/said" || fail "said $(cat "$folder/said")"
sed 's/^media:/medai:/' "$2" >"$folder/unknown.yaml"
"$1" check --config "$folder/unknown.yaml" 2>"$folder/said"
[ $? = 2 ] || fail "an unknown key was accepted"
grep -q 'unknown key "medai"' "$folder/said" || fail "said $(cat "$folder/said")"
"$1" check --config /nowhere.yaml 2>/dev/null
[ $? = 2 ] || fail "a file that is not there"
"$1" check 2>/dev/null
[ $? = 2 ] || fail "no file named"
"$1" run --config "$folder/bad.yaml" 2>/dev/null
[ $? = 2 ] || fail "run took a wrong configuration"
"$1" role proxy 3<&- 2>/dev/null
[ $? = 2 ] || fail "a role started by hand"
echo "tonegate check says what it should"
