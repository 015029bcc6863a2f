#!/usr/bin/env python3
"""Holds the papers to the tests they name: papers.py ROOT BUILD

Every test_..., e2e_..., fuzz_... and demo_... in backquotes in README.md and proxy/*.md must be a test that CTest knows;
a trailing * stands for any end. Every relative link must lead to a file. Exit 1 names what does not hold."""
import fnmatch
import json
import os
import re
import subprocess
import sys

PAPERS = ["README.md", "proxy/README.md", "proxy/README.privsep.md", "proxy/THREAT-MODEL.md", "base/README.md"]
NAMED = re.compile(r"`((?:(?:test|e2e|fuzz|demo|bench)_[a-z0-9_*]+|sip_(?:scenarios|restarts)))`")
LINK = re.compile(r"\]\(([^)#:]+)\)")


def known_tests(build):
    shown = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], capture_output=True, text=True,
                           check=True).stdout
    return [test["name"] for test in json.loads(shown)["tests"]]


def check(text, where, folder, tests):
    wrong = [f"{where}: no test is called {name}" for name in NAMED.findall(text) if not fnmatch.filter(tests, name)]
    wrong += [f"{where}: {link} is not there" for link in LINK.findall(text)
              if not os.path.exists(os.path.join(folder, link))]
    return wrong


def main():
    root, build = sys.argv[1:3]
    tests = known_tests(build)
    assert len(check("`test_that_is_not` [x](nowhere.md)", "planted", root, tests)) == 2, "the check is blind"
    wrong = []
    for paper in PAPERS:
        with open(os.path.join(root, paper), encoding="utf-8") as file:
            wrong += check(file.read(), paper, os.path.dirname(os.path.join(root, paper)), tests)
    print("\n".join(wrong) if wrong else f"{len(tests)} tests, every one that the papers name is among them")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
