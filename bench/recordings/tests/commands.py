#!/usr/bin/env python3
"""tonegate detect, mask and leak on files made here: what they say, what they write, and how they refuse.

commands.py PROGRAM"""
import json
import os
import pathlib
import random
import re
import struct
import sys
import tempfile
import unittest

import recordings as r

FIELDS = ["file", "channel", "source", "digit", "onset_ms", "reported_ms", "end_ms", "level_low_dbm0",
          "level_high_dbm0", "twist_db"]
ALL_KEYS = "1234567890*#ABCD"
PROGRAM = None


class Recordings(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = pathlib.Path(self.scratch.name)

    def refused(self, words, name, reason):
        """The program must name the file and the reason, and exit with 2."""
        code, out, err = PROGRAM.run(*words)
        self.assertEqual((code, out), (2, ""), err)
        self.assertIn(str(name), err)
        self.assertIn(reason, err)


class Detect(Recordings):
    def test_a_line_has_the_fields_that_were_promised(self):
        r.write_wav(self.folder / "a.wav", [r.signal(ALL_KEYS)])
        lines = PROGRAM.detect(self.folder / "a.wav")
        self.assertEqual(r.digits(lines), ALL_KEYS)
        for i, line in enumerate(lines):
            onset = 120 + 200 * i
            self.assertEqual(list(line), FIELDS)
            self.assertEqual((line["channel"], line["source"]), (1, "tone"))
            self.assertLess(abs(line["onset_ms"] - onset), 3)
            self.assertLess(abs(line["end_ms"] - onset - 80), 6)
            self.assertTrue(20 < line["reported_ms"] - onset < 30)
            self.assertLess(abs(line["level_low_dbm0"] + 13.2), 0.5)
            self.assertLess(abs(line["twist_db"]), 0.5)

    def test_every_rate_width_and_channel(self):
        for rate, width, count in ((8000, 2, 1), (11025, 3, 1), (44100, 3, 2), (48000, 4, 1), (96000, 2, 8)):
            path = self.folder / f"{rate}.wav"
            keys = ["159", "#0D"] + [""] * 6
            sounds = [r.signal(k, rate) for k in keys[:count]]
            longest = max(map(len, sounds))
            r.write_wav(path, [s + [0.0] * (longest - len(s)) for s in sounds], rate, width)
            lines = PROGRAM.detect(path)
            for channel in range(count):
                self.assertEqual(r.digits(lines, channel + 1), keys[channel], rate)
            for line in lines:
                self.assertLess(min(abs(line["onset_ms"] - 120 - 200 * i) for i in range(3)), 3, line)

    def test_raw_g711_by_option_name_and_pipe(self):
        raw = bytes(map(r.ulaw, r.signal("8642")))
        for name in ("a.ulaw", "a.bin"):
            (self.folder / name).write_bytes(raw)
        self.assertEqual(r.digits(PROGRAM.detect(self.folder / "a.ulaw")), "8642")
        self.assertEqual(r.digits(PROGRAM.detect("--raw", "ulaw", self.folder / "a.bin")), "8642")
        self.assertEqual(r.digits(PROGRAM.detect("--raw", "ulaw", "-", stdin=raw)), "8642")
        self.refused(["detect", self.folder / "a.bin"], self.folder / "a.bin", "--raw")

    def test_the_other_engine_text_and_at_once(self):
        r.write_wav(self.folder / "a.wav", [r.signal("12")])
        self.assertEqual(r.digits(PROGRAM.detect("--engine", "spandsp", self.folder / "a.wav")), "12")
        lines = PROGRAM.detect("--at-once", self.folder / "a.wav")
        self.assertEqual([line["end_ms"] for line in lines], [None, None])
        code, out, _ = PROGRAM.run("detect", "--text", self.folder / "a.wav")
        self.assertEqual((code, len(out.splitlines())), (0, 3))

    def test_what_comes_later_changes_nothing(self):
        """The lines of a recording's first part are those of the whole, as far as they were complete."""
        sound = r.signal("135790")
        r.write_wav(self.folder / "a.wav", [sound])
        whole = PROGRAM.detect(self.folder / "a.wav")
        for ms in range(100, 1200, 90):
            r.write_wav(self.folder / "a.wav", [sound[:8 * ms]])
            part = PROGRAM.detect(self.folder / "a.wav")
            done = [line for line in part if line["end_ms"] < ms - 20]
            self.assertEqual(done, whole[:len(done)])

    def test_a_name_of_any_bytes_is_good_json(self):
        path = os.fsencode(self.folder) + b'/\xff"\\\n.wav'
        r.write_wav(self.folder / "a.wav", [r.signal("1")])
        os.rename(self.folder / "a.wav", path)
        lines = PROGRAM.detect(os.fsdecode(path))
        self.assertTrue(lines[0]["file"].endswith('/\ufffd"\\\n.wav'))

    def test_an_odd_number_of_bytes_is_whole(self):
        """RIFF pads such a chunk: the file is not cut short. The same file with a byte less is."""
        data = bytes(map(r.ulaw, r.signal("12", off_ms=300)))[:-1]
        self.assertEqual(len(data) % 2, 1)
        path = self.folder / "odd.wav"
        whole = (b"RIFF" + struct.pack("<I", 36 + 2 + len(data) + 1) + b"WAVEfmt " +
                 struct.pack("<IHHIIHHH", 18, 7, 1, 8000, 8000, 1, 8, 0) + b"data" + struct.pack("<I", len(data)) + data)
        path.write_bytes(whole + b"\0")
        self.assertEqual(r.digits(PROGRAM.detect(path)), "12")
        self.assertEqual(PROGRAM.run("leak", path)[0], 1)
        self.assertEqual(PROGRAM.run("mask", path, self.folder / "masked.wav")[0], 0)
        path.write_bytes(whole[:-1])
        self.refused(["detect", path], path, "cut short")
        self.refused(["leak", path], path, "cut short")

    def test_odd_headers(self):
        """Eight channels of 24 bits at 96 kHz with chunks around; a header from a pipe, which promises four gigabytes."""
        def chunk(name, data):
            return name + struct.pack("<I", len(data)) + data

        def riff(*chunks):
            return b"RIFF" + struct.pack("<I", 4 + len(b"".join(chunks))) + b"WAVE" + b"".join(chunks)

        plain = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
        sound = b"".join(struct.pack("<h", int(value)) for value in r.signal("159"))
        wide = struct.pack("<HHIIHHHHI", 0xFFFE, 8, 96000, 96000 * 24, 24, 24, 22, 24, 0)
        wide += bytes.fromhex("0100000000001000800000aa00389b71")
        frames = b"".join(int(value * 256).to_bytes(3, "little", signed=True) * 8 for value in r.signal("15", 96000, on_ms=50, off_ms=60))
        path = self.folder / "a.wav"
        path.write_bytes(riff(chunk(b"LIST", b"INFO"), chunk(b"fmt ", wide), chunk(b"data", frames), chunk(b"LIST", b"INFO")))
        lines = PROGRAM.detect(path)
        self.assertEqual([r.digits(lines, channel=c) for c in range(1, 9)], ["15"] * 8)
        for size in (0xFFFFFFFF, 0x7FFFF000):
            path.write_bytes(b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + chunk(b"fmt ", plain) + b"data" +
                             struct.pack("<I", size) + sound)
            self.assertEqual(r.digits(PROGRAM.detect(path)), "159")
            self.assertEqual(PROGRAM.run("leak", path)[0], 1)
        for content in (riff(chunk(b"data", sound), chunk(b"fmt ", plain)), b"RIFF", riff(chunk(b"fmt ", plain)),
                        riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 0, 8000, 16000, 2, 16)), chunk(b"data", sound)),
                        riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 10**9, 16000, 2, 16)), chunk(b"data", sound)),
                        riff(chunk(b"fmt ", struct.pack("<HHIIHH", 0x1234, 1, 8000, 16000, 2, 16)), chunk(b"data", sound))):
            path.write_bytes(content)
            for words in (["detect", path], ["mask", path, self.folder / "out.wav"], ["leak", path]):
                self.refused(words, path, "")
        self.assertFalse((self.folder / "out.wav").exists())

    def test_a_cut_recording_says_what_it_has_when_asked(self):
        path = self.folder / "cut.wav"
        r.write_wav(path, [r.signal("159")])
        path.write_bytes(path.read_bytes()[:44 + 2 * 8 * 450])
        self.refused(["detect", path], path, "cut short")
        code, out, err = PROGRAM.run("detect", "--partial", path)
        self.assertEqual((code, r.digits(map(json.loads, out.splitlines()))), (2, "15"))
        self.assertIn("cut short", err)

    def test_faults_are_named_and_nothing_is_said_of_the_file(self):
        good = self.folder / "good.wav"
        r.write_wav(good, [r.signal("123")])
        whole = good.read_bytes()
        nan = self.folder / "nan.wav"
        key = [value / 32768 for value in r.signal("1")[:2000]]
        data = struct.pack("<8000f", *key, *[0.0] * 5999, float("nan"))
        nan.write_bytes(b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " +
                        struct.pack("<IHHIIHH", 16, 3, 1, 8000, 32000, 4, 32) + b"data" + struct.pack("<I", len(data)) + data)
        for name, content, reason in (("cut.wav", whole[:len(whole) // 2], "cut short"), ("empty.wav", b"", "is empty"),
                                      ("head.wav", whole[:44], ""), ("text.wav", b"hello\n" * 9, "no audio file"),
                                      ("none.wav", whole[:40] + bytes(4), "holds no audio")):
            (self.folder / name).write_bytes(content)
            self.refused(["detect", self.folder / name], self.folder / name, reason)
        self.refused(["detect", nan], nan, "not numbers")
        self.refused(["detect", self.folder / "nothing.wav"], self.folder / "nothing.wav", "No such file")
        self.refused(["detect", self.folder], self.folder, "folder")
        code, out, err = PROGRAM.run("detect", nan, good)
        self.assertEqual((code, len(out.splitlines())), (2, 3), err)
        code, out, err = PROGRAM.run("detect", "--partial", nan)
        self.assertEqual((code, len(out.splitlines())), (2, 1), err)

    def test_a_wrong_command_line_shows_the_usage(self):
        for words in (["detect"], ["detect", "--engine", "x", "a"], ["detect", "--event-type", "7", "a"], ["mask", "a"],
                      ["mask", "a", "b", "--lookahead-ms", "0"], ["mask", "a", "b", "--mode", "loud"], ["leak"]):
            code, out, err = PROGRAM.run(*words)
            self.assertEqual((code, out), (2, ""))
            self.assertIn("usage", err)


class Capture(Recordings):
    def setUp(self):
        super().setUp()
        events = [p for i, code in enumerate((4, 0, 11))
                  for p in r.event_packets(code, 10 + 7 * i, 100000 * (i + 1), 1.5 + 12.5 * i)]
        self.packets = sorted(r.audio_packets(r.signal("1590#")) + events, key=lambda p: p[0])

    def check(self, lines):
        audio = [line["channel"] for line in lines if line["source"] == "tone"]
        self.assertEqual(r.digits(lines, source="tone"), "1590#")
        self.assertEqual(len(set(audio)), 1)
        events = [line for line in lines if line["source"] == "event"]
        self.assertEqual("".join(line["digit"] for line in events), "40#")
        self.assertNotIn(events[0]["channel"], audio)
        for i, line in enumerate(events):
            self.assertEqual(list(line), FIELDS)
            self.assertIsNone(line["level_low_dbm0"])
            self.assertLess(abs(line["end_ms"] - line["onset_ms"] - 200), 1)
            self.assertLess(abs(line["onset_ms"] - 550 - 12500 * i), 60)

    def test_both_formats_in_both_byte_orders(self):
        for order in "<>":
            r.write_pcap(self.folder / "a.pcap", self.packets, order)
            r.write_pcapng(self.folder / "a.pcapng", self.packets, order)
            self.check(PROGRAM.detect(self.folder / "a.pcap"))
            self.check(PROGRAM.detect(self.folder / "a.pcapng"))
        self.check(PROGRAM.detect("-", stdin=(self.folder / "a.pcapng").read_bytes()))

    def test_swapped_doubled_and_lost_packets(self):
        times = [p[0] for p in self.packets]
        payloads = [p[1] for p in self.packets]
        for i in range(10, len(payloads) - 1, 7):
            payloads[i], payloads[i + 1] = payloads[i + 1], payloads[i]
        packets = [p for p in zip(times, payloads) for _ in range(2)]
        r.write_pcap(self.folder / "a.pcap", packets)
        self.check(PROGRAM.detect(self.folder / "a.pcap"))
        # In the middle of a key: 120 ms on, 20 ms of it never came.
        sound = r.signal("5", on_ms=120)
        lossy = [p for i, p in enumerate(r.audio_packets(sound)) if i != 8]
        r.write_pcap(self.folder / "a.pcap", lossy)
        self.assertEqual(r.digits(PROGRAM.detect(self.folder / "a.pcap")), "5")

    def test_a_pause_of_the_stream_is_time(self):
        first = r.audio_packets(r.signal("1"))
        later = r.audio_packets(r.signal("2"), at=31.0, sequence=65500 + len(first), timestamp=2**32 - 4000 + 240000)
        r.write_pcap(self.folder / "a.pcap", first + later)
        lines = PROGRAM.detect(self.folder / "a.pcap")
        self.assertEqual(r.digits(lines), "12")
        self.assertLess(abs(lines[1]["onset_ms"] - 30120), 3)

    def test_a_cut_capture_says_nothing_unless_asked(self):
        path = self.folder / "cut.pcap"
        r.write_pcap(path, self.packets)
        whole = path.read_bytes()
        path.write_bytes(whole[:len(whole) // 2])
        self.refused(["detect", path], path, "cut short")
        code, out, err = PROGRAM.run("detect", "--partial", path)
        self.assertEqual(code, 2)
        self.assertIn("cut short", err)
        self.assertTrue(out.count("\n") >= 2)

    def test_other_traffic_is_no_stream(self):
        noise = random.Random(5)
        strangers = [(1 + i / 100, bytes([0x80, 0]) + noise.randbytes(100)) for i in range(200)]
        r.write_pcap(self.folder / "a.pcap", strangers)
        self.refused(["detect", self.folder / "a.pcap"], self.folder / "a.pcap", "no RTP stream")


class Mask(Recordings):
    def mask(self, *words):
        code, out, err = PROGRAM.run("mask", *words)
        self.assertEqual(code, 0, err)
        return out

    def test_keys_go_and_the_rest_stays(self):
        for rate, width in ((8000, 2), (44100, 3)):
            given, masked = self.folder / f"{rate}.wav", self.folder / f"{rate}-masked.wav"
            keyed, quiet = r.signal("4711", rate, off_ms=400), r.signal("", rate, off_ms=2320, seed=2)
            count = min(len(keyed), len(quiet))
            r.write_wav(given, [keyed[:count], quiet[:count]], rate, width)
            report = json.loads(self.mask(given, masked, "--json"))
            self.assertEqual([c["keys"] for c in report["channels"]], [4, 0])
            self.assertEqual([c["keys_heard_after"] for c in report["channels"]], [0, 0])
            self.assertEqual(PROGRAM.detect(masked), [])
            self.assertEqual(PROGRAM.run("leak", given, masked, "--delay-ms", 0)[0], 0)
            before, after = given.read_bytes()[44:], masked.read_bytes()[44:]
            self.assertEqual(len(before), len(after))
            width_all = 2 * width
            for channel, said in enumerate(report["channels"]):
                spans = said["spans_ms"]
                for n in range(0, count, 97):
                    at_ms = n * 1000 / rate
                    if all(at_ms < a - 1 or at_ms > b + 1 for a, b in spans):
                        place = n * width_all + channel * width
                        self.assertEqual(before[place:place + width], after[place:place + width])
            self.assertLess(report["channels"][1]["masked_ms"], 20)

    def test_masking_is_what_makes_the_difference(self):
        """The recording as it was must be found leaking by the same judge."""
        given = self.folder / "a.wav"
        r.write_wav(given, [r.signal("4711", off_ms=400)])
        self.assertEqual(PROGRAM.run("leak", given, given, "--delay-ms", 0)[0], 1)
        self.assertEqual(PROGRAM.run("leak", given)[0], 1)
        self.mask(given, self.folder / "b.wav", "--mode", "beep")
        code, out, _ = PROGRAM.run("leak", self.folder / "b.wav", "--json")
        said = json.loads(out)
        self.assertEqual((code, said["verdict"], said["sent"], said["keys_sent"]), (0, "clean", None, 0))

    def test_raw_stays_raw(self):
        raw = bytes(map(r.ulaw, r.signal("99", off_ms=300)))
        (self.folder / "a.ulaw").write_bytes(raw)
        self.mask(self.folder / "a.ulaw", self.folder / "b.ulaw")
        masked = (self.folder / "b.ulaw").read_bytes()
        self.assertEqual(len(masked), len(raw))
        # The law has a zero of either sign; one comes back.
        self.assertEqual(masked[8 * 100:8 * 200], raw[8 * 100:8 * 200].replace(b"\x7f", b"\xff"))
        self.assertEqual(PROGRAM.detect(self.folder / "b.ulaw"), [])

    def test_nothing_is_overwritten_or_half_written(self):
        given, there = self.folder / "a.wav", self.folder / "there.wav"
        r.write_wav(given, [r.signal("1")])
        there.write_text("mine")
        self.refused(["mask", given, there], there, "exists already")
        self.refused(["mask", given, given], given, "exists already")
        self.assertEqual(there.read_text(), "mine")
        cut = self.folder / "cut.wav"
        cut.write_bytes(given.read_bytes()[:2000])
        before = sorted(self.folder.iterdir())
        self.refused(["mask", cut, self.folder / "out.wav"], cut, "cut short")
        self.refused(["mask", given, self.folder / "no" / "out.wav"], "no/out.wav", "No such file")
        self.assertEqual(sorted(self.folder.iterdir()), before)

    def test_one_bad_file_does_not_stop_a_folder(self):
        given, masked = self.folder / "in", self.folder / "out"
        (given / "deep").mkdir(parents=True)
        for name in ("a.wav", "deep/c.wav"):
            r.write_wav(given / name, [r.signal("12")])
        (given / "b.wav").write_bytes(b"RIFF")
        (given / "notes.txt").write_text("no recording")
        code, out, err = PROGRAM.run("mask", given, masked, "--json")
        self.assertEqual(code, 2)
        self.assertIn(str(given / "b.wav"), err)
        self.assertIn("2 masked, 1 failed", err)
        self.assertEqual(["error" in json.loads(line) for line in out.splitlines()], [False, True, False])
        self.assertEqual(sorted(p.name for p in masked.rglob("*") if p.is_file()), ["a.wav", "c.wav"])
        (given / "b.wav").unlink()
        self.assertEqual(PROGRAM.run("mask", given, masked)[0], 2)
        code, _, err = PROGRAM.run("mask", given, masked, "--skip-existing")
        self.assertEqual(code, 0)
        self.assertIn("2 there already", err)
        self.refused(["mask", given, given / "below"], given / "below", "outside")
        self.assertFalse((given / "below").exists())


class Leak(Recordings):
    def setUp(self):
        super().setUp()
        self.sent, self.masked = self.folder / "sent.wav", self.folder / "masked.wav"
        r.write_wav(self.sent, [r.signal("4711", off_ms=400)])
        self.assertEqual(PROGRAM.run("mask", self.sent, self.masked)[0], 0)

    def test_json_has_the_eight_levels_and_no_key(self):
        code, out, _ = PROGRAM.run("leak", self.sent, self.sent, "--delay-ms", 0, "--json")
        said = json.loads(out)
        self.assertEqual((code, said["verdict"], said["keys_leaked"]), (1, "leaked", 4))
        self.assertEqual(said["attacker"]["correct"], 4)
        low, high = said["attacker"]["interval"]
        self.assertTrue(low > 1 / 12 and high == 1)
        for key, pressed in zip(said["keys"], "4711"):
            self.assertNotIn("key", key)
            loudest = sorted(range(8), key=lambda i: -key["levels_dbm0"][i])[:2]
            self.assertEqual(sorted(loudest), [r.ROWS.index(r.tones(pressed)[0]), 4 + r.COLUMNS.index(r.tones(pressed)[1])])
        code, out, _ = PROGRAM.run("leak", self.sent, self.masked, "--delay-ms", 0, "--json")
        said = json.loads(out)
        self.assertEqual((code, said["verdict"], said["keys_leaked"], said["leaked_ms_total"]), (0, "clean", 0, 0))
        self.assertTrue(all(level < -60 for key in said["keys"] for level in key["levels_dbm0"]))

    def test_the_page_stands_alone(self):
        page = self.folder / "page.html"
        for delivered, verdict in ((self.sent, "Keys leaked"), (self.masked, "Nothing leaked")):
            PROGRAM.run("leak", self.sent, delivered, "--delay-ms", 0, "--html", page)
            text = page.read_text()
            self.assertIn(verdict, text)
            self.assertEqual(text.count("data:image/png;base64,"), 2)
            self.assertTrue(text.startswith("<!doctype html>") and text.endswith("</html>\n"))
            for foreign in ("<script", "http:", "https:", "<link", "@import"):
                self.assertNotIn(foreign, text)
            self.assertIsNone(re.search(r"<img(?![^>]*\balt=)", text))
        code, _, err = PROGRAM.run("leak", self.sent, self.masked, "--delay-ms", 0, "--html", self.folder / "no" / "p.html")
        self.assertEqual(code, 2)
        self.assertIn("no/p.html: No such file", err)
        self.assertEqual([p.name for p in self.folder.glob("*.part")], [])

    def test_labels_of_audacity(self):
        track = self.folder / "sent.txt"
        track.write_text("".join(f"{0.4 + 0.48 * i:.6f}\t{0.48 + 0.48 * i:.6f}\t{key}\n" for i, key in enumerate("4711")))
        self.assertEqual(PROGRAM.run("leak", self.sent, self.masked, "--labels", track, "--delay-ms", 0)[0], 0)
        self.assertEqual(PROGRAM.run("leak", self.sent, self.sent, "--labels", track, "--delay-ms", 0)[0], 1)
        for text, wrong in (("hello\n", ":1: expected from, to"), ("0.1\t0.2\t1\n0.15\t0.3\t2\n", ":2: expected keys in order"),
                            ("0.1\t0.2\tfour\n", ":1: expected the key"), ("0.1\t0.2\t4\n\n0.3\t0.3\t5\n", ":3: expected a key"),
                            ("{", ":1: is not JSON"), ("1000\t1001\t4\n", "past the end")):
            track.write_text(text)
            self.refused(["leak", self.sent, self.masked, "--labels", track], track, wrong)

    def test_faults_are_named(self):
        whole = self.sent.read_bytes()
        for name, content, reason in (("cut.wav", whole[:len(whole) // 2], "cut short"), ("empty.wav", b"", ""),
                                      ("text.wav", b"hello\n" * 9, ""), ("none.wav", whole[:40] + bytes(4), "holds no audio")):
            (self.folder / name).write_bytes(content)
            self.refused(["leak", self.folder / name, self.masked], self.folder / name, reason)
            self.refused(["leak", self.sent, self.folder / name], self.folder / name, reason)
        self.refused(["leak", self.folder / "nothing.wav"], self.folder / "nothing.wav", "No such file")
        quiet = self.folder / "quiet.wav"
        r.write_wav(quiet, [r.signal("", off_ms=900)])
        self.refused(["leak", quiet, self.masked], quiet, "no key was found")
        self.refused(["leak", self.sent, quiet], quiet, "no audio in common")
        self.assertEqual(PROGRAM.run("leak", "--help")[0], 0)


if __name__ == "__main__":
    PROGRAM = r.Program(sys.argv.pop(1))
    unittest.main()
