#!/usr/bin/env python3
"""Holds the arrows of the house: who includes whom, and which symbols a role's libraries may want.

edges.py check ROOT BUILD   exit 1 and name every edge that must not be
edges.py self-test          plants one wrong include and one wrong symbol of each kind and expects to find them
"""
import os
import re
import subprocess
import sys
import tempfile

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')

# A folder may include from these (its own folder and base/ always; *_msg.h from anywhere). Longest prefix counts.
MAY_INCLUDE = {
    "base": [],
    "dsp": [],
    "proxy/media": ["dsp"],
    "proxy/sip": ["proxy/media"],
    "proxy/supervisor": [],
    "proxy": ["proxy"],
    "capture/vault": [],
    "capture/desk": [],
    "capture": ["capture"],
    "gateway": [],
    "bench": ["bench", "dsp", "proxy", "capture", "gateway", "testvectors"],
    "testvectors": ["dsp"],
}
# Tests and fuzz harnesses also see their room and the tools that measure.
TEST_FOLDERS = re.compile(r"^(\w+)(/\w+)*/(tests|fuzz)/")

# Undefined symbols that a library must not have: library -> patterns.
NETWORK = r"(socket|connect|bind|listen|accept4?|getaddrinfo|gethostby\w+)"
MUST_NOT_WANT = {
    "tg_vault": [NETWORK, r"(open|openat|fopen|creat)(64)?", r"SSL_\w+", r"curl_\w+", r"sqlite3_\w+", r"osip_\w+",
                 r"event_\w+", r"(execv\w*|fork|system|popen)"],
    "tg_media": [r"SSL_\w+", r"curl_\w+", r"sqlite3_\w+", r"osip_\w+", r"(execv\w*|fork|system|popen)"],
    "tg_sip": [r"curl_\w+", r"sqlite3_\w+", r"(execv\w*|fork|system|popen)"],
    "tg_sip_syntax": [NETWORK, r"curl_\w+", r"sqlite3_\w+", r"SSL_\w+", r"(execv\w*|fork|system|popen)"],
    "tg_desk": [r"curl_\w+", r"osip_\w+", r"(execv\w*|fork|system|popen)", r"connect"],
    "tg_gateway": [r"sqlite3_\w+", r"osip_\w+", r"(execv\w*|fork|system|popen)"],
    "tg_supervisor": [r"SSL_\w+", r"curl_\w+", r"sqlite3_\w+", r"osip_\w+", r"event_\w+", r"connect"],
    "tg_dsp": [NETWORK, r"(open|openat|fopen|read|write|printf|puts|fwrite)(64)?", r"SSL_\w+", r"curl_\w+"],
}


def rule_of(path):
    parts = path.split("/")[:-1]
    for length in range(len(parts), 0, -1):
        prefix = "/".join(parts[:length])
        if prefix in MAY_INCLUDE:
            return prefix
    return None


def may_include(path, target):
    if target.endswith("_msg.h") or target.startswith("base/"):
        return True
    rule = rule_of(path)
    if rule is None:
        return False
    allowed = MAY_INCLUDE[rule] + [rule]
    if TEST_FOLDERS.match(path):
        allowed = allowed + [path.split("/")[0], "bench", "testvectors", "dsp"]
    return any(target == a or target.startswith(a + "/") for a in allowed)


def sources(root):
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "*.c", "*.h"],
                            capture_output=True, text=True, check=False).stdout.split()
    if listed:
        return listed
    found = []
    for folder, _, names in os.walk(root):
        found += [os.path.relpath(os.path.join(folder, n), root) for n in names if n.endswith((".c", ".h"))]
    return found


def check_includes(root):
    wrong = []
    for path in sources(root):
        if rule_of(path) is None or not os.path.exists(os.path.join(root, path)):
            continue
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                target = match.group(1)
                if "/" not in target:
                    target = os.path.dirname(path) + "/" + target
                if not may_include(path, target) and path != "proxy/main.c":
                    wrong.append(f"{path}:{number}: must not include {match.group(1)}")
    return wrong


def check_symbols(archives):
    wrong = []
    for name, patterns in MUST_NOT_WANT.items():
        archive = archives.get(name)
        if not archive:
            wrong.append(f"lib{name}.a was not built: its symbols cannot be checked")
            continue
        listing = subprocess.run(["nm", "-A", "-u", archive], capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            member, _, symbol = line.rpartition(" U ")
            symbol = symbol.strip().split("@")[0]
            if "reference/" in member or "spandsp" in member:
                continue
            for pattern in patterns:
                if re.fullmatch(pattern, symbol):
                    wrong.append(f"{os.path.basename(archive)}({member.split(':')[1]}): must not want {symbol}")
    return wrong


def find_archives(build):
    found = {}
    for folder, _, names in os.walk(build):
        for name in names:
            if name.startswith("libtg_") and name.endswith(".a"):
                found[name[3:-2]] = os.path.join(folder, name)
    return found


def self_test():
    with tempfile.TemporaryDirectory() as root:
        os.makedirs(root + "/capture/vault")
        os.makedirs(root + "/dsp")
        with open(root + "/capture/vault/a.c", "w") as file:
            file.write('#include "base/err.h"\n#include "gateway/gateway_msg.h"\n#include "gateway/http.h"\n')
        with open(root + "/dsp/b.c", "w") as file:
            file.write('#include "proxy/media/media.h"\n')
        found = check_includes(root)
        assert len(found) == 2 and "a.c:3" in found[0] + found[1], found
        with open(root + "/bad.c", "w") as file:
            file.write("int connect(int,const void*,unsigned);int f(void);int f(void){return connect(1,0,0);}\n")
        subprocess.run(["cc", "-c", "bad.c", "-o", "bad.o"], cwd=root, check=True)
        subprocess.run(["ar", "rc", "libtg_bad.a", "bad.o"], cwd=root, check=True)
        archives = {name: root + "/libtg_bad.a" for name in MUST_NOT_WANT}
        found = check_symbols(archives)
        for name in ("tg_vault", "tg_desk", "tg_supervisor"):
            del archives[name]
        assert len([f for f in found if "must not want connect" in f]) >= 4, found
        assert len([f for f in check_symbols(archives) if "was not built" in f]) == 3
    print("planted edges are found")
    return 0


def main():
    if sys.argv[1:2] == ["self-test"]:
        return self_test()
    if len(sys.argv) != 4 or sys.argv[1] != "check":
        print(__doc__, file=sys.stderr)
        return 2
    wrong = check_includes(sys.argv[2]) + check_symbols(find_archives(sys.argv[3]))
    print("\n".join(wrong) if wrong else "every edge is where it may be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
