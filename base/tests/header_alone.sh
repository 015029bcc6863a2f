#!/bin/sh
# Every header compiles alone: header_alone.sh COMPILER ROOT
set -eu
failed=0
cd "$2"
for header in $(git ls-files -co --exclude-standard '*.h'); do
    if ! echo "#include \"$header\"" | "$1" -std=c17 -D_GNU_SOURCE -I. -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags libevent libosip2 libxml-2.0 ortp spandsp) -x c - ; then
        echo "does not compile alone: $header"; failed=1
    fi
done
exit $failed
