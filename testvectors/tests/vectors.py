#!/usr/bin/env python3
"""The vectors that are kept here are heard as their labels say, masked without a rest, and made again by their generator.

vectors.py BIN   the folder with tonegate, tonegate-bench and tonegate-vectors"""
import filecmp
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parents[1]
APART_MS = 25  # of a reported onset from its label; a codec or lost packets may move it
LEAST = {"most": 0.8, "some": 0.5}  # of the labelled keys
BIN = None


def run(program, *words):
    done = subprocess.run([BIN / program, *map(str, words)], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def manifest(folder):
    rows = [line.split("\t") for line in (folder / "MANIFEST.tsv").read_text().splitlines()[1:]]
    return {row[0]: dict(word.split("=") for word in row[4].split(",") if "=" in word)
            for row in rows if row[0].startswith(("tones/", "rtp/")) and not row[0].endswith(".txt")}


def labels_of(path):
    rows = [line.split("\t") for line in path.with_suffix(".txt").read_text().splitlines()]
    return [(1000 * float(row[0]), row[2]) for row in rows]


def detect(path, source):
    code, out, err = run("tonegate", "detect", path)
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    return [(line["onset_ms"], line["digit"]) for line in lines if line["source"] == source]


def wrong_with(heard, labels, expects):
    """What is wrong, as text; None when nothing is."""
    if expects == "none":
        return f"{len(heard)} keys heard where there are none" if heard else None
    if expects in LEAST:
        right = sum(any(digit == key and abs(at - onset) < 150 for at, digit in heard) for onset, key in labels)
        return f"{right} of {len(labels)} keys heard" if right < LEAST[expects] * len(labels) else None
    if [digit for _, digit in heard] != [key for _, key in labels]:
        return f"{len(heard)} keys heard, and not those of the {len(labels)} labels"
    apart = max(abs(at - onset) for (at, _), (onset, _) in zip(heard, labels))
    return f"an onset is {apart:.1f} ms from its label" if apart > APART_MS else None


class Kept(unittest.TestCase):
    def test_every_vector_is_heard_as_labelled(self):
        kept = manifest(HERE)
        self.assertEqual(sum(path.startswith("rtp/") for path in kept), 9)
        self.assertGreater(len(kept), 30)
        for path, says in kept.items():
            labels = labels_of(HERE / path)
            self.assertEqual(len(labels), int(says["keys"]), path)
            sources = {"both": ("tone", "event"), "event": ("event",)}.get(says.get("way"), ("tone",))
            for source in sources:
                self.assertIsNone(wrong_with(detect(HERE / path, source), labels, says["heard"]), path)
            if says.get("way") == "event":
                self.assertEqual(detect(HERE / path, "tone"), [], path)

    def test_the_check_can_fail(self):
        labels = labels_of(HERE / "tones" / "clean_ulaw.wav")
        heard = detect(HERE / "tones" / "clean_ulaw.wav", "tone")
        other = "1" if labels[3][1] != "1" else "2"
        self.assertIsNone(wrong_with(heard, labels, "all"))
        for planted in (heard[1:], heard + heard[:1], [*heard[:3], (heard[3][0], other), *heard[4:]],
                        [(at + 40, key) for at, key in heard]):
            self.assertIsNotNone(wrong_with(planted, labels, "all"))
        self.assertIsNotNone(wrong_with(heard, labels, "none"))
        self.assertIsNotNone(wrong_with(heard[:4], labels, "most"))

    def test_nothing_is_left_of_a_masked_vector(self):
        with tempfile.TemporaryDirectory() as scratch:
            masked = pathlib.Path(scratch) / "masked"
            code, _, err = run("tonegate", "mask", HERE / "tones", masked)
            self.assertEqual(code, 0, err)
            for path, says in manifest(HERE).items():
                if not path.startswith("tones/") or says["heard"] != "all":
                    continue
                words = ["leak", HERE / path, masked / pathlib.Path(path).name, "--labels", (HERE / path).with_suffix(".txt"),
                         "--delay-ms", 0]
                code, out, err = run("tonegate", *words)
                self.assertEqual(code, 0, (path, out, err))
                words[2] = HERE / path
                self.assertEqual(run("tonegate", *words)[0], 1, path)

    def test_the_benchmark_reads_them(self):
        code, out, err = run("tonegate-bench", "corpus", "--json", "--no-state", HERE / "tones")
        self.assertEqual(code, 0, err)
        said = json.loads(out)
        kept = [says for path, says in manifest(HERE).items() if path.startswith("tones/")]
        self.assertEqual((said["recordings"], said["labelled"]), (len(kept), len(kept)))
        self.assertEqual(said["keys"], sum(int(says["keys"]) for says in kept))
        self.assertEqual(said["engines"]["own"]["false"], 0)


class Generator(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def make(self, name, *words):
        out = self.folder / name
        code, _, err = run("tonegate-vectors", "--small", *words, out)
        self.assertEqual(code, 0, err)
        return out

    def files(self, folder):
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def test_a_seed_is_a_set(self):
        first, again, other = self.make("a"), self.make("b"), self.make("c", "--seed", 2)
        names = self.files(first)
        self.assertEqual(names, self.files(again))
        self.assertEqual(filecmp.cmpfiles(first, again, names, shallow=False)[1:], ([], []))
        self.assertGreater(len(filecmp.cmpfiles(first, other, names, shallow=False)[1]), 60)
        self.assertEqual([p.name for p in first.iterdir() if p.is_file()], ["MANIFEST.tsv"])

    def test_the_kept_set_is_what_it_makes(self):
        """Labels to the sample; samples but for a rounding of another machine. Codec libraries may differ between versions."""
        made = self.make("a")
        for path in manifest(HERE):
            kept, new = HERE / path, made / path
            self.assertEqual(kept.with_suffix(".txt").read_bytes(), new.with_suffix(".txt").read_bytes(), path)
            if any(codec in path for codec in ("opus", "gsm", "g726", "transcoded")):
                continue
            a, b = kept.read_bytes(), new.read_bytes()
            self.assertEqual(len(a), len(b), path)
            self.assertLess(sum(x != y for x, y in zip(a, b)), len(a) // 500, path)

    def test_refusals(self):
        (self.folder / "full").mkdir()
        (self.folder / "full" / "mine").write_text("x")
        for words in (["--small"], ["--seed", "x", self.folder / "a"], ["--keys", "0", self.folder / "a"],
                      ["--small", "--speech", "/tmp", self.folder / "a"], ["--loud", self.folder / "a"]):
            code, _, err = run("tonegate-vectors", *words)
            self.assertEqual(code, 2)
            self.assertIn("usage", err)
        for words, wrong in (([self.folder / "full"], "not empty"), ([self.folder / "no" / "deeper"], "No such file"),
                             (["--speech", self.folder / "full", self.folder / "a"], "holds no WAV")):
            code, _, err = run("tonegate-vectors", "--keys", 1, *words)
            self.assertEqual(code, 2)
            self.assertIn(wrong, err)
        self.assertEqual(self.files(self.folder), ["full/mine"])
        self.assertEqual(run("tonegate-vectors", "--help")[0], 0)


if __name__ == "__main__":
    BIN = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
