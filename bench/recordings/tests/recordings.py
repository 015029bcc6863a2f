"""What the tests of the recording commands share: signals, files and captures that they make, and how the program is run."""
import json
import math
import random
import struct
import subprocess
import wave

RATE = 8000
ROWS = (697, 770, 852, 941)
COLUMNS = (1209, 1336, 1477, 1633)
PAD = "123A456B789C*0#D"


def tones(key):
    place = PAD.index(key)
    return ROWS[place // 4], COLUMNS[place % 4]


def signal(keys, rate=RATE, on_ms=80, off_ms=120, seed=1, level=5000):
    """Floats on the scale of int16: faint noise, then each key with a pause before it, and a pause."""
    noise = random.Random(seed)
    out = []
    for key in list(keys) + [None]:
        out += [noise.gauss(0, 30) for _ in range(rate * off_ms // 1000)]
        if key:
            low, high = (2 * math.pi * hz / rate for hz in tones(key))
            out += [level * (math.sin(low * i) + math.sin(high * i)) + noise.gauss(0, 30)
                    for i in range(rate * on_ms // 1000)]
    return out


def write_wav(path, channels, rate=RATE, width=2):
    """channels: lists of floats of one length."""
    scale = 1 << (8 * width - 16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(b"".join(int(round(value * scale)).to_bytes(width, "little", signed=True)
                                  for frame in zip(*channels) for value in frame))


def ulaw(value):
    value = int(value)
    sign = 0x80 if value < 0 else 0
    value = min(abs(value), 32635) + 0x84
    exponent = value.bit_length() - 8
    return ~(sign | exponent << 4 | (value >> (exponent + 3)) & 15) & 0xFF


def rtp(payload_type, sequence, timestamp, ssrc, payload):
    return struct.pack(">BBHII", 0x80, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def audio_packets(samples, ssrc=0x1234, at=1.0, sequence=65500, timestamp=2**32 - 4000):
    """(time, RTP) of 20 ms each; sequence and timestamp wrap on the way."""
    return [(at + i / RATE, rtp(0, sequence + i // 160, timestamp + i, ssrc, bytes(map(ulaw, samples[i:i + 160]))))
            for i in range(0, len(samples) - 159, 160)]


def event_packets(code, sequence, timestamp, at, ssrc=0x77, payload_type=101):
    """A press of 200 ms: updates every 50 ms, the end three times."""
    out = [(at + d / RATE, struct.pack(">BBH", code, 10, d)) for d in (400, 800, 1200, 1600)]
    out += [(at + 0.2, struct.pack(">BBH", code, 0x8A, 1600))] * 3
    return [(t, rtp(payload_type, sequence + i, timestamp, ssrc, payload)) for i, (t, payload) in enumerate(out)]


def frame(payload, source_port=4000):
    """Ethernet with a VLAN tag, IPv4, UDP."""
    udp = struct.pack(">HHHH", source_port, 5000, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    return bytes(12) + struct.pack(">HHH", 0x8100, 5, 0x0800) + ip + udp


def write_pcap(path, packets, order="<"):
    with open(path, "wb") as file:
        file.write(struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for at, payload in packets:
            bytes_ = frame(payload)
            file.write(struct.pack(order + "IIII", int(at), int(at % 1 * 1e6), len(bytes_), len(bytes_)) + bytes_)


def write_pcapng(path, packets, order="<"):
    def block(kind, body):
        body += bytes(-len(body) % 4)
        return struct.pack(order + "II", kind, 12 + len(body)) + body + struct.pack(order + "I", 12 + len(body))

    with open(path, "wb") as file:
        file.write(block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)))
        file.write(block(1, struct.pack(order + "HHI", 1, 0, 0) + struct.pack(order + "HHB3xHH", 9, 1, 9, 0, 0)))
        for at, payload in packets:
            bytes_ = frame(payload)
            ticks = int(at * 1e9)
            file.write(block(6, struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(bytes_),
                                            len(bytes_)) + bytes_))


class Program:
    def __init__(self, path):
        self.path = path

    def run(self, *words, stdin=None):
        """(exit code, standard output, standard error)"""
        done = subprocess.run([self.path, *map(str, words)], input=stdin, capture_output=True, timeout=60, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def detect(self, *words, stdin=None):
        """The lines of a run that must succeed."""
        code, out, err = self.run("detect", *words, stdin=stdin)
        assert code == 0, (code, err)
        return [json.loads(line) for line in out.splitlines()]


def digits(lines, channel=None, source=None):
    return "".join(line["digit"] for line in lines
                   if channel in (None, line["channel"]) and source in (None, line["source"]))
