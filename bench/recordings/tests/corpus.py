#!/usr/bin/env python3
"""tonegate detect and mask on recordings that others made, where they are at hand: $TONEGATE_SHARED/corpus (default: shared
beside the repository). Their keys are in their names.

corpus.py PROGRAM"""
import os
import pathlib
import subprocess
import sys
import tempfile

import recordings as r

SKIPPED = 77
NAMES = {"zero": "0000", "one": "1111", "two": "2222", "three": "3333", "four": "4444", "five": "5555", "six": "6666",
         "seven": "7777", "eight": "8888", "nine": "9999", "a": "AAAA", "b": "BBBB", "asterix": "****", "hash": "####"}
KEYS = {f"tino1b2be/{name}-8kHz.wav": keys for name, keys in NAMES.items()}
KEYS.update({
    "tino1b2be/0-9-8Khz.wav": "0123456789", "tino1b2be/1.wav": "1", "tino1b2be/123.wav": "123",
    "tino1b2be/12345678.8k.wav": "12345678", "tino1b2be/complete_44100.wav": "12345678", "tino1b2be/one.wav": "1",
    "tino1b2be/two.wav": "2", "tino1b2be/complete-sequence-8kHz-old1.wav": "1234567890*#ABCD",
    "tino1b2be/complete-sequence-8kHz-old2.wav": "1234567890*#ABCD"})
QUIET = ("brownianNoise", "pinkNoise", "whiteNoise", "testNoise", "sense_and_sensibility")


def find_corpus():
    root = pathlib.Path(__file__).resolve().parents[3]
    shared = pathlib.Path(os.environ.get("TONEGATE_SHARED", root.parent / "shared"))
    return shared / "corpus"


def check(program, path, keys, scratch):
    """What is wrong with one recording, as text."""
    wrong = []
    for engine in ("own", "spandsp"):
        heard = r.digits(program.detect("--engine", engine, path))
        if heard != keys:
            wrong.append(f"{path}: {engine} heard {heard or 'nothing'}, not {keys or 'nothing'}")
    masked = scratch / path.name
    code, _, err = program.run("mask", path, masked)
    if code != 0:
        return wrong + [f"{path}: mask: {err}"]
    if keys and program.run("leak", path, masked, "--delay-ms", 0)[0] != 0:
        wrong.append(f"{path}: what was masked leaks")
    if program.detect(masked):
        wrong.append(f"{path}: a key is heard in what was masked")
    return wrong


def main():
    corpus = find_corpus()
    if not corpus.is_dir():
        print(f"skipped: {corpus} is not there; TONEGATE_SHARED may name the folder that holds corpus/")
        return SKIPPED
    program = r.Program(sys.argv[1])
    keys = {path: said for path, said in KEYS.items() if (corpus / path).exists()}
    for path in corpus.rglob("*.wav"):
        if path.name.startswith(QUIET):
            keys[str(path.relative_to(corpus))] = ""
    if not any(keys.values()):
        print(f"skipped: {corpus} holds none of the recordings whose keys are known")
        return SKIPPED
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        for path, said in sorted(keys.items()):
            wrong += check(program, corpus / path, said, pathlib.Path(scratch))
    print("\n".join(wrong) or f"{len(keys)} recordings, {sum(map(len, keys.values()))} keys, both engines: all right")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.TimeoutExpired as error:
        sys.exit(f"{error}")
