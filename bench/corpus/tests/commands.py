#!/usr/bin/env python3
"""tonegate-bench corpus and tones on recordings made here: what they count, how they go on, how they refuse.

commands.py PROGRAM"""
import json
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "recordings" / "tests"))
import recordings as r  # noqa: E402

PROGRAM = None
ON_S, OFF_S = 0.08, 0.12


class Bench:
    def __init__(self, path):
        self.path = str(pathlib.Path(path).resolve())

    def run(self, *words, cwd=None):
        done = subprocess.run([self.path, *map(str, words)], capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
        return done.returncode, done.stdout, done.stderr

    def corpus(self, *words):
        code, out, err = self.run("corpus", "--json", "--no-state", *words)
        assert code == 0, (code, err)
        return [json.loads(line) for line in out.splitlines()]


def rows(keys):
    return [(OFF_S + i * (ON_S + OFF_S), OFF_S + i * (ON_S + OFF_S) + ON_S, key) for i, key in enumerate(keys)]


def track(path, labels):
    path.write_text("".join(f"{a:.6f}\t{b:.6f}\t{key}\n" for a, b, key in labels))


class Folder(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        self.folder = self.root / "corpus"
        self.folder.mkdir()

    def recording(self, name, keys, labels=None, **options):
        r.write_wav(self.folder / f"{name}.wav", [r.signal(keys, **options)], options.get("rate", 8000))
        if labels is not None:
            track(self.folder / f"{name}.txt", labels)

    def one(self, *words):
        said = PROGRAM.corpus(self.folder, *words)
        self.assertEqual(len(said), 1)
        return said[0]

    def counts(self, said, engine):
        engine = said["engines"][engine]
        return [engine[name] for name in ("hits", "missed", "wrong", "doubled", "false")]


class Corpus(Folder):
    def test_every_labelled_key_is_heard_by_both(self):
        self.recording("a", "1590#", rows("1590#"))
        self.recording("b", "4D", rows("4D"), rate=44100)
        said = self.one()
        for engine in ("own", "spandsp"):
            self.assertEqual(self.counts(said, engine), [7, 0, 0, 0, 0])
            latency = said["engines"][engine]["latency_ms"]
            self.assertTrue(20 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"] < 60)
            self.assertEqual(said["engines"][engine]["false_an_active_hour"], None)
            self.assertEqual([len(said["engines"][engine][roc]) for roc in ("roc_level_dbm0", "roc_length_ms")], [33, 33])
        self.assertEqual((said["recordings"], said["labelled"], said["keys"], said["failed"]), (2, 2, 7, 0))
        self.assertEqual([p["lookahead_ms"] for p in said["mask"]], [5, 5, 10, 10, 15, 15, 20, 20, 30, 30])
        self.assertEqual({p["keys_leaked"] for p in said["mask"][4:]}, {0})
        self.assertEqual(said["with_mistakes"], [])

    def test_planted_mistakes_are_counted(self):
        """Labels that are not true: another key, one that is not there, one left out, one that was pressed twice."""
        good = rows("1590#")
        silence = (good[4][1] + 0.02, good[4][1] + 0.06, "7")
        for labels, expected in (
                ([*good[:2], (good[2][0], good[2][1], "8"), *good[3:]], [4, 0, 1, 0, 0]),
                ([(0.0, 0.04, "7"), *good[1:]], [4, 1, 0, 0, 1]),
                ([good[0], *good[2:]], [4, 0, 0, 0, 1]),
                ([(good[0][0], good[1][1], "1"), *good[2:]], [4, 0, 0, 1, 0]),
                ([*good, silence], [5, 1, 0, 0, 0])):
            self.recording("a", "1590#", labels)
            said = self.one()
            self.assertEqual(self.counts(said, "own"), expected, labels)
            self.assertEqual(len(said["with_mistakes"]), 1)

    def test_without_labels_only_false_digits_and_speech_count(self):
        self.recording("a", "12")
        said = self.one()
        self.assertEqual(self.counts(said, "own"), [0, 0, 0, 0, 2])
        self.assertGreater(said["engines"]["own"]["false_an_active_hour"], 1000)
        self.assertIsNone(said["engines"]["own"]["latency_ms"]["p50"])
        self.assertGreater(said["mask"][6]["speech_masked_percent"], 10)
        # The same with a label track that says that there are none: now it is labelled.
        track(self.folder / "a.txt", [])
        self.assertEqual(self.one()["labelled"], 1)

    def test_a_leak_is_found(self):
        """Keys fainter than any receiver takes for one pass the mask whole; of the others not a millisecond does."""
        self.recording("a", "1590", rows("1590"))
        self.assertEqual([(p["keys_leaked"], p["leaked_ms"]) for p in self.one()["mask"][4:]], [(0, 0)] * 6)
        self.recording("a", "1590", rows("1590"), level=70)
        said = self.one()
        self.assertEqual(self.counts(said, "own"), [0, 4, 0, 0, 0])
        for masked in said["mask"]:
            self.assertEqual(masked["keys_leaked"], 4)
            self.assertTrue(4 * 70 < masked["leaked_ms"] <= 4 * 80, masked)

    def test_labels_in_tables(self):
        self.recording("a", "159")
        (self.folder / "a.tsv").write_text("key\tonset_ms\tend_ms\n" + "".join(
            f"{key}\t{a * 1000:.3f}\t{b * 1000:.3f}\n" for a, b, key in rows("159")))
        (self.folder / "deep").mkdir()
        self.recording("deep/b", "24")
        (self.folder / "labels.tsv").write_text("# by hand\nfile\tonset_s\tend_s\tkey\tnote\n" + "".join(
            f"deep/b.wav\t{a:.4f}\t{b:.4f}\t{key}\tx\n" for a, b, key in rows("24")))
        self.assertEqual(self.counts(self.one(), "own"), [5, 0, 0, 0, 0])
        self.assertEqual(self.counts(PROGRAM.corpus(self.folder / "a.wav")[0], "own"), [3, 0, 0, 0, 0])

    def test_a_channel_is_chosen(self):
        r.write_wav(self.folder / "a.wav", [r.signal("11"), r.signal("22", seed=3)])
        track(self.folder / "a.txt", rows("22"))
        self.assertEqual(self.counts(self.one(), "own"), [0, 0, 2, 0, 0])
        self.assertEqual(self.counts(self.one("--channel", 2), "own"), [2, 0, 0, 0, 0])
        code, _, err = PROGRAM.run("corpus", "--no-state", "--channel", 3, self.folder)
        self.assertEqual(code, 2)
        self.assertIn("a.wav: has no channel 3", err)

    def test_faults_are_named_and_the_rest_goes_on(self):
        self.recording("good", "159", rows("159"))
        whole = (self.folder / "good.wav").read_bytes()
        floats = struct.pack("<4000f", *[0.0] * 3999, float("nan"))
        nan = (b"RIFF" + struct.pack("<I", 36 + len(floats)) + b"WAVEfmt " +
               struct.pack("<IHHIIHH", 16, 3, 1, 8000, 32000, 4, 32) + b"data" + struct.pack("<I", len(floats)) + floats)
        for content, reason in ((whole[:len(whole) // 2], "cut short"), (b"", "is empty"), (b"hello\n" * 9, "no audio file"),
                                (nan, "not numbers")):
            (self.folder / "bad.wav").write_bytes(content)
            code, out, err = PROGRAM.run("corpus", "--no-state", "--json", self.folder)
            said = json.loads(out)
            self.assertEqual((code, said["recordings"], said["failed"], said["keys"]), (2, 1, 1, 3))
            self.assertIn(f"{self.folder}/bad.wav: ", err)
            self.assertIn(reason, err)
        (self.folder / "bad.wav").unlink()
        for text, wrong in (("hello\n", ":1: expected from, to"), ("0.1\t0.2\t1\n0.3\t0.2\t2\n", ":2: expected a key that begins"),
                            ("0.1\t0.2\t1\n0.1\t0.2\t1\n", ":2: expected keys in order"), ("0.1\t0.2\tspeech\n", ":1: expected the key"),
                            ("0.1\t0.2\t1\n900\t901\t2\n", "past the end of")):
            (self.folder / "good.txt").write_text(text)
            code, _, err = PROGRAM.run("corpus", "--no-state", "--json", self.folder)
            self.assertEqual(code, 2)
            self.assertIn(f"{self.folder}/good.txt{wrong}" if wrong[0] == ":" else wrong, err)
        (self.folder / "good.txt").unlink()
        for text, wrong in (("onset_s\tend_s\tkey\n", None), ("file\tkey\tonset_s\tend_s\ngood.wav\t1\t0\n", ":2: expected as many"),
                            ("file\tkey\tonset_s\tend_s\nother.wav\t1\t0\t1\n", ":2: there is no such recording"),
                            ("nothing\n", ":1: expected a line of column names"),
                            ("key\tonset_s\tend_s\n1\t0\t1\n", ': expected a column "file"')):
            (self.folder / "labels.tsv").write_text(text)
            code, _, err = PROGRAM.run("corpus", "--no-state", "--json", self.folder)
            self.assertEqual(code, 2 if wrong else 0)
            if wrong:
                self.assertIn(f"{self.folder}/labels.tsv{wrong}", err)
        for words in ([self.root / "nothing"], [], ["--channel", "x", self.folder], ["--loud", self.folder]):
            code, out, _ = PROGRAM.run("corpus", "--no-state", *words)
            self.assertEqual((code, out), (2, ""))

    def test_the_page_stands_alone(self):
        self.recording("a<b", "159", rows("159"))
        page = self.root / "page.html"
        self.one("--html", page)
        text = page.read_text()
        self.assertTrue(text.startswith("<!doctype html>") and text.endswith("</html>\n"))
        self.assertEqual(text.count("<svg"), text.count("</svg>"))
        self.assertEqual(text.count("<section>"), text.count("</section>"))
        self.assertNotIn("a<b", text)
        for foreign in ("<script", "http:", "https:", "<link", "@import", "nan", "inf,"):
            self.assertNotIn(foreign, text)
        code, _, err = PROGRAM.run("corpus", "--no-state", self.folder, "--html", self.root / "no" / "page.html")
        self.assertEqual(code, 2)
        self.assertIn("no/page.html: No such file", err)


class GoingOn(Folder):
    def setUp(self):
        super().setUp()
        self.recording("r00", "159", rows("159"))
        for i in range(1, 12):
            for ending in (".wav", ".txt"):
                shutil.copy(self.folder / f"r00{ending}", self.folder / f"r{i:02}{ending}")
        self.state = self.root / "state"
        self.expected = PROGRAM.run("corpus", "--json", "--no-state", self.folder)[1]

    def run_kept(self):
        return PROGRAM.run("corpus", "--json", "--state", self.state, self.folder)

    def test_a_torn_state_is_gone_on_from(self):
        self.assertEqual(self.run_kept()[:2], (0, self.expected))
        lines = self.state.read_bytes().splitlines(keepends=True)
        self.assertEqual(len(lines), 13)
        self.state.write_bytes(b"".join(lines[:6]) + lines[6][:100])
        code, out, err = self.run_kept()
        self.assertEqual((code, out), (0, self.expected))
        self.assertIn("5 of 12 recordings were judged by an earlier run", err)
        self.assertEqual(len(self.state.read_bytes().splitlines()), 13)

    def test_what_was_changed_is_judged_again(self):
        self.run_kept()
        track(self.folder / "r03.txt", rows("1"))
        code, out, err = self.run_kept()
        self.assertIn("11 of 12", err)
        self.assertEqual(self.counts(json.loads(out), "own")[4], 2)

    def test_another_program_or_file_is_not_believed(self):
        self.run_kept()
        lines = self.state.read_bytes().splitlines(keepends=True)
        self.state.write_bytes(lines[0].replace(b"program ", b"program 1") + b"".join(lines[1:]))
        code, out, err = self.run_kept()
        self.assertEqual((code, out), (0, self.expected))
        self.assertNotIn("earlier run", err)
        for text, line in (("my notes\n", 1), (lines[0].decode() + "{}\n" + lines[1].decode(), 2), ("no end", 1)):
            self.state.write_text(text)
            code, out, err = self.run_kept()
            self.assertEqual((code, out), (2, ""))
            self.assertIn(f"{self.state}:{line}: is no line of a state file", err)
            self.assertEqual(self.state.read_text(), text)

    def test_ctrl_c_and_again_goes_on(self):
        """Stopped as soon as something is kept; the file of its own is gone when all is done."""
        r.write_wav(self.folder / "s.wav", [r.signal("147") * 8])
        for i in range(60):
            shutil.copy(self.folder / "s.wav", self.folder / f"s{i}.wav")
        usual = self.root / "tonegate-corpus.state"
        words = [PROGRAM.path, "corpus", "--json", str(self.folder)]
        with subprocess.Popen(words, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
            until = time.monotonic() + 60
            while time.monotonic() < until and not (usual.exists() and usual.read_bytes().count(b"\n") > 2):
                time.sleep(0.01)
            started.send_signal(signal.SIGINT)
            out, err = started.communicate(timeout=60)
        self.assertEqual((started.returncode, out), (130, ""), err)
        self.assertIn("the same command goes on from there", err)
        code, out, err = PROGRAM.run(*words[1:], cwd=self.root)
        self.assertEqual(code, 0)
        self.assertIn("were judged by an earlier run", err)
        self.assertFalse(usual.exists())
        self.assertEqual(out, PROGRAM.run("corpus", "--json", "--no-state", self.folder)[1])


class Tones(unittest.TestCase):
    GRIDS = {"frequency, both tones", "frequency, low tone", "frequency, high tone", "level", "twist", "length", "pause",
             "interruption", "noise", "dial tone", "speech", "loss"}

    def tones(self, *words):
        code, out, err = PROGRAM.run("tones", "--json", *words)
        self.assertEqual(code, 0, err)
        return [json.loads(line) for line in out.splitlines()]

    def heard(self, lines, engine="own"):
        return {line["x"]: line["heard"] / line["presses"] for line in lines if line.get("engine") == engine and "x" in line}

    def test_every_grid_is_there_and_has_both_engines(self):
        lines = self.tones("--presses", 1)
        grids = {line["grid"] for line in lines if "grid" in line}
        self.assertEqual(grids, self.GRIDS)
        for name in grids:
            points = [[line["x"] for line in lines if line.get("grid") == name and line["engine"] == engine]
                      for engine in ("own", "spandsp")]
            self.assertEqual(points[0], points[1])
            self.assertGreater(len(points[0]), 10)

    def test_what_must_be_heard_and_what_must_not(self):
        for grid, heard, refused in (("frequency, both", (-1.5, 0, 1.5), (-3, 3)), ("level", (-24, -4), (-56,)),
                                     ("twist", (-4, 0, 8), (-14, 14)), ("length", (40, 60), (10, 20)), ("noise", (16, 30), (-4,)),
                                     ("dial tone", (-20,), (10,))):
            share = self.heard(self.tones("--presses", 30, "--cell", grid))
            self.assertEqual([share[x] for x in heard], [1] * len(heard), grid)
            self.assertEqual([share[x] for x in refused], [0] * len(refused), grid)
        extra = {line["x"]: line["extra"] for line in self.tones("--presses", 30, "--cell", "interruption") if line["engine"] == "own"}
        self.assertEqual((extra[0], extra[10], extra[30]), (0, 0, 30))
        share = self.heard(self.tones("--presses", 30, "--cell", "pause"))
        self.assertTrue(share[2] < 0.6 and share[40] == 1, share)

    def test_the_mask_makes_the_difference(self):
        for cell, leaked in (("region", 0), ("mask off", 30)):
            lines = self.tones("--presses", 30, "--cell", cell)
            self.assertEqual([line["leaked_presses"] for line in lines], [leaked, leaked])

    def test_a_seed_is_a_run(self):
        runs = [self.tones("--presses", 50, "--cell", "SNR 10 dB, 50", "--seed", seed) for seed in (7, 7, 8)]
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])

    def test_refusals_and_the_page(self):
        self.assertEqual(PROGRAM.run("tones", "--cell", "no such thing")[0], 2)
        self.assertEqual(PROGRAM.run("tones", "--presses", "0")[0], 2)
        self.assertEqual(PROGRAM.run("tones", "--presses", "many")[0], 2)
        with tempfile.TemporaryDirectory() as scratch:
            page = pathlib.Path(scratch) / "page.html"
            self.tones("--presses", 10, "--cell", "twist", "--html", page)
            text = page.read_text()
            self.assertTrue(text.startswith("<!doctype html>") and text.endswith("</html>\n"))
            self.assertEqual(text.count("<svg"), text.count("</svg>"))
            for foreign in ("<script", "http:", "https:", "<link", "nan"):
                self.assertNotIn(foreign, text)


if __name__ == "__main__":
    PROGRAM = Bench(sys.argv.pop(1))
    unittest.main()
