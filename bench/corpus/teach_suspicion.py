#!/usr/bin/env python3
"""Teaches suspicion's two networks and writes dsp/suspicion_weights.c. Needs numpy (Debian: python3-numpy).

teach_suspicion.py LESSONS ACTIVE_S OUT MIN MIN_STRICT MIN MIN_STRICT
    LESSONS     what `tonegate-bench lessons` wrote
    ACTIVE_S    seconds of active speech in them, as it printed
    MIN ...     least evidence of a suspicion, plain and while keying: look-ahead of 20 ms, then of 10
Prints, for several numbers of masks a minute on the lessons' own speech, the evidence that it takes and how many looks at keys
have less, by scene. One processor, some minutes; the same lessons give the same networks on the same numpy.
"""
import sys

import numpy as np

FEATURES = 48
HIDDEN = 32
EPOCHS = 10
BATCH = 2048
STEP = 4e-3
DECAY = 1e-5
MASKS_APART_BLOCKS = 12

SCENES = ["noise", "speech", "loud speech", "coloured noise", "line tones", "echo", "key before", "key before in speech",
          "gap", "speech before"]
SPEECH, LOUD_SPEECH = 1, 2

# Per haste: samples from the onset from which a look must succeed, and the looks that decide whether a sample leaks.
HASTES = [("look-ahead 20", 89, (145, 168), 0.5), ("look-ahead 10", 65, (65, 88), 0.25)]


class Lessons:
    def __init__(self, path):
        rows = np.fromfile(path, dtype=np.float32).reshape(-1, FEATURES + 3)
        self.is_key = rows[:, 0] == 1
        self.scene = rows[:, 1]
        self.distance = rows[:, 2]  # of speech: the block
        self.feature = rows[:, 3:]
        self.is_seen = ~self.is_key | (rows[:, 3] >= 0)  # the gate let it through

    def last_chance(self, span):
        return self.is_key & (self.distance >= span[0]) & (self.distance <= span[1])


def weights(lessons, least_distance, span, loud_weight):
    """The looks up to the last that can save a sample count four times, keys as much as all that is none."""
    key = lessons.is_key & lessons.is_seen & (lessons.distance >= least_distance)
    weight = np.where(lessons.is_key, 0, 1).astype(np.float32)
    weight[key] = 1
    weight[key & lessons.last_chance((least_distance, span[1]))] = 4
    weight[key & (lessons.scene == LOUD_SPEECH)] *= loud_weight
    weight[key & (lessons.scene == SPEECH)] *= 1.5
    weight[key] *= weight[~lessons.is_key].sum() / weight[key].sum()
    return weight


def learn(x, y, weight, seed=1):
    """One hidden layer, logistic loss, Adam with a step that falls as a cosine."""
    random = np.random.default_rng(seed)
    net = [random.normal(0, x.shape[1] ** -0.5, (x.shape[1], HIDDEN)), np.zeros(HIDDEN),
           random.normal(0, HIDDEN ** -0.5, (HIDDEN, 1)), np.zeros(1)]
    net = [part.astype(np.float32) for part in net]
    mean = [np.zeros_like(part) for part in net]
    square = [np.zeros_like(part) for part in net]
    total = EPOCHS * (len(x) // BATCH)
    turn = 0
    for _ in range(EPOCHS):
        order = random.permutation(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            some = order[start:start + BATCH]
            hidden = np.maximum(x[some] @ net[0] + net[1], 0)
            likely = 1 / (1 + np.exp(-(hidden @ net[2] + net[3])[:, 0]))
            error = ((likely - y[some]) * weight[some] / BATCH)[:, None].astype(np.float32)
            back = (error @ net[2].T) * (hidden > 0)
            slopes = [x[some].T @ back, back.sum(0), hidden.T @ error, error.sum(0)]
            turn += 1
            step = STEP * 0.5 * (1 + np.cos(np.pi * turn / total)) + 1e-5
            for i, slope in enumerate(slopes):
                mean[i] = 0.9 * mean[i] + 0.1 * slope
                square[i] = 0.999 * square[i] + 0.001 * slope ** 2
                move = step * (mean[i] / (1 - 0.9 ** turn)) / (np.sqrt(square[i] / (1 - 0.999 ** turn)) + 1e-8)
                net[i] = net[i] - move.astype(np.float32) - step * DECAY * net[i]
    return net


def teach(lessons, least_distance, span, loud_weight):
    weight = weights(lessons, least_distance, span, loud_weight)
    used = weight > 0
    x = lessons.feature[used]
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    net = learn(((x - mean) / deviation).astype(np.float32), lessons.is_key[used].astype(np.float32), weight[used])
    net[0] = net[0] / deviation[:, None]  # so that features can be taken as they are
    net[1] = net[1] - mean @ net[0]
    return net


def evidence_of(net, feature):
    parts = [np.maximum(part @ net[0] + net[1], 0) @ net[2] + net[3]
             for part in np.array_split(feature, max(1, len(feature) // 100000))]
    return np.concatenate(parts)[:, 0]


def masks(scene, block):
    if len(block) == 0:
        return 0
    return 1 + int(np.sum((scene[1:] != scene[:-1]) | (block[1:] - block[:-1] > MASKS_APART_BLOCKS)))


def evidence_for(evidence, scene, block, wanted):
    """The least evidence at which speech is masked no more often than wanted."""
    ordered = np.sort(evidence)[::-1]
    low, high = 0, len(ordered) - 1
    while low < high:
        middle = (low + high) // 2
        mask = evidence >= ordered[middle]
        if masks(scene[mask], block[mask]) < wanted:
            low = middle + 1
        else:
            high = middle
    return float(ordered[low])


def judge(name, lessons, net, span, active_s):
    evidence = evidence_of(net, lessons.feature)
    evidence[~lessons.is_seen] = -99
    spoken = ~lessons.is_key & (lessons.scene < 8)  # as it was recorded, not by other voices
    chance = lessons.last_chance(span)
    for a_minute in (0.25, 0.5, 1, 2):
        least = evidence_for(evidence[spoken], lessons.scene[spoken], lessons.distance[spoken], a_minute * active_s / 60)
        missed = ["%s %d/%d" % (SCENES[s], np.sum(chance & (lessons.scene == s) & (evidence < least)),
                                np.sum(chance & (lessons.scene == s))) for s in range(len(SCENES))]
        print("%s, %.2f masks a minute: evidence %.2f; missed: %s" % (name, a_minute, least, ", ".join(missed)), flush=True)


def numbers(values):
    texts = ["%.6g" % value for value in values]
    return ", ".join((text if "." in text or "e" in text else text + ".0") + "f" for text in texts)


def write(path, nets, least):
    with open(path, "w", encoding="ascii") as out:
        out.write("/* Written by bench/corpus/teach_suspicion.py, see bench/corpus/README.md. */\n"
                  '#include "dsp/suspicion_priv.h"\n\n/* clang-format off */\n'
                  "const struct suspicion_network suspicion_networks[SUSPICION_HASTES] = {\n")
        for i, net in enumerate(nets):
            out.write("    {\n        .weight = {\n")
            for row in net[0]:
                out.write("            {%s},\n" % numbers(row))
            out.write("        },\n        .hidden_bias = {%s},\n        .out = {%s},\n        .bias = %s,\n"
                      "        .evidence_min = %s,\n        .evidence_min_strict = %s,\n    },\n" %
                      (numbers(net[1]), numbers(net[2][:, 0]), numbers(net[3]), numbers([least[2 * i]]),
                       numbers([least[2 * i + 1]])))
        out.write("};\n/* clang-format on */\n")


def main():
    if len(sys.argv) != 8:
        sys.exit(__doc__)
    lessons = Lessons(sys.argv[1])
    nets = []
    for name, least_distance, span, loud_weight in HASTES:
        nets.append(teach(lessons, least_distance, span, loud_weight))
        judge(name, lessons, nets[-1], span, float(sys.argv[2]))
    write(sys.argv[3], nets, [float(value) for value in sys.argv[4:8]])


if __name__ == "__main__":
    main()
