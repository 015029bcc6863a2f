#!/usr/bin/env python3
"""Teaches suspicion's networks, of the close look and of the glance before it, and writes dsp/suspicion_weights.c. Needs numpy
(Debian: python3-numpy).

teach_suspicion.py LESSONS CHECK ACTIVE_S OUT MIN MIN_STRICT MIN MIN_STRICT [KEEP]
    LESSONS     what `tonegate-bench lessons` wrote
    CHECK       the same of other voices and another seed: only its keys are learned from, and only by the glance
    ACTIVE_S    seconds of active speech in LESSONS, as it printed
    MIN ...     least evidence of a suspicion, plain and while keying: look-ahead of 20 ms, then of 10
    KEEP        20 or 10: the close look's network for this look-ahead stays the one in OUT, only its glance is taught
Prints, for several numbers of masks a minute on the lessons' own speech, the evidence that it takes and how many looks at keys
have less, by scene; and of the glance, how much of the speech of CHECK it lets through. One processor, some ten minutes; the
same lessons give the same networks on the same numpy.
"""
import re
import sys

import numpy as np

FEATURES = 48
GLANCE = 41
GLANCE_INPUTS = 38
FOLDERS = 16
HIDDEN = 32
GLANCE_HIDDEN = 16
EPOCHS = 16
BATCH = 2048
STEP = 4e-3
DECAY = 1e-5
MASKS_APART_BLOCKS = 12
KEY_WEIGHT = 1  # of all keys, against all that is none

# The glance: rounds after the first that learn from the keys it is least sure of, how many of those, and what share of speech
# is too like a key to be refused by it.
ROUNDS = 4
HARDEST = 150000
TOO_LIKE = 0.08
MARGIN = 2.0  # from the least evidence of a key to the threshold: keys that nobody has seen yet had up to 1.5 less

SCENES = ["noise", "speech", "loud speech", "coloured noise", "line tones", "echo", "key before", "key before in speech",
          "gap", "speech before"]
SPEECH, LOUD_SPEECH = 1, 2

# Per haste: samples from the onset from which a look must succeed, and the looks that decide whether a sample leaks.
HASTES = [("look-ahead 20", 89, (145, 168), 0.5), ("look-ahead 10", 65, (65, 88), 0.25)]


class Lessons:
    def __init__(self, path):
        rows = np.fromfile(path, dtype=np.float32).reshape(-1, 3 + FEATURES + GLANCE)
        self.is_key = rows[:, 0] == 1
        self.scene = rows[:, 1]
        self.distance = rows[:, 2]  # of speech: the block
        self.feature = rows[:, 3:3 + FEATURES]
        self.glance = rows[:, 3 + FEATURES:]
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
    weight[key] *= KEY_WEIGHT * weight[~lessons.is_key].sum() / weight[key].sum()
    return weight / weight[weight > 0].mean()


def new_net(inputs, hidden, random):
    net = [random.normal(0, inputs ** -0.5, (inputs, hidden)), np.zeros(hidden),
           random.normal(0, hidden ** -0.5, (hidden, 1)), np.zeros(1)]
    return [part.astype(np.float32) for part in net]


def learn(net, x, y, weight, epochs, step_from, random):
    """One hidden layer, logistic loss, Adam with a step that falls as a cosine."""
    mean = [np.zeros_like(part) for part in net]
    square = [np.zeros_like(part) for part in net]
    total = epochs * (len(x) // BATCH)
    turn = 0
    for _ in range(epochs):
        order = random.permutation(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            some = order[start:start + BATCH]
            given = x[some]
            hidden = np.maximum(given @ net[0] + net[1], 0)
            likely = 1 / (1 + np.exp(-np.clip((hidden @ net[2] + net[3])[:, 0], -60, 60)))
            error = ((likely - y[some]) * weight[some] / BATCH)[:, None].astype(np.float32)
            back = (error @ net[2].T) * (hidden > 0)
            slopes = [given.T @ back, back.sum(0), hidden.T @ error, error.sum(0)]
            turn += 1
            step = step_from * 0.5 * (1 + np.cos(np.pi * turn / total)) + 1e-5
            for i, slope in enumerate(slopes):
                mean[i] = 0.9 * mean[i] + 0.1 * slope
                square[i] = 0.999 * square[i] + 0.001 * slope ** 2
                move = step * (mean[i] / (1 - 0.9 ** turn)) / (np.sqrt(square[i] / (1 - 0.999 ** turn)) + 1e-8)
                net[i] = net[i] - move.astype(np.float32) - np.float32(step * DECAY) * net[i]
    return net


def of_plain_features(net, mean, deviation):
    """So that features can be taken as they are."""
    first = net[0] / deviation[:, None]
    return [first, net[1] - mean @ first, net[2], net[3]]


def teach(lessons, least_distance, span, loud_weight):
    weight = weights(lessons, least_distance, span, loud_weight)
    used = weight > 0
    x = lessons.feature[used]
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    random = np.random.default_rng(1)
    net = learn(new_net(FEATURES, HIDDEN, random), ((x - mean) / deviation).astype(np.float32),
                lessons.is_key[used].astype(np.float32), weight[used], EPOCHS, STEP, random)
    return of_plain_features(net, mean, deviation)


def evidence_of(net, feature):
    parts = [np.maximum(part @ net[0] + net[1], 0) @ net[2] + net[3]
             for part in np.array_split(feature, max(1, len(feature) // 100000))]
    return np.concatenate(parts)[:, 0]


def to_glance(lessons, net, least_distance, least):
    """Keys that the close look would suspect, with its evidence; and speech, with its evidence."""
    evidence = evidence_of(net, lessons.feature)
    key = lessons.is_key & lessons.is_seen & (lessons.distance >= least_distance) & (evidence >= least)
    seen = lessons.glance[:, :GLANCE_INPUTS]
    return seen[key], evidence[key], seen[~lessons.is_key], evidence[~lessons.is_key]


def teach_glance(name, lessons, check, net, least_distance, least):
    """A net that refuses speech, and its two thresholds, below all keys of both lessons. least: of the close look, strict last."""
    keys, sure, speech, like = to_glance(lessons, net, least_distance, least[1])
    others, sure_others, voices, _ = to_glance(check, net, least_distance, least[1])
    own = len(keys)
    keys = np.concatenate([keys, others])
    mean = np.concatenate([keys[::8], speech]).mean(0)
    deviation = np.concatenate([keys[::8], speech]).std(0) + 1e-6
    random = np.random.default_rng(1)
    refused = speech[like < np.quantile(like, 1 - TOO_LIKE)]
    x = ((np.concatenate([refused, keys]) - mean) / deviation).astype(np.float32)
    y = np.concatenate([np.zeros(len(refused)), np.ones(len(keys))]).astype(np.float32)
    glance = new_net(GLANCE_INPUTS, GLANCE_HIDDEN, random)
    tail = None
    for turn in range(ROUNDS + 1):
        if turn == 0:
            some = random.permutation(len(keys))[:2 * HARDEST]
            weight = np.ones(len(some))
        else:
            evidence = evidence_of(glance, x[len(refused):])
            hard = np.exp(np.clip(np.partition(evidence, 200)[200] - evidence, -8, 2))
            tail = hard if tail is None else 0.5 * tail + 0.5 * hard
            some = np.concatenate([np.argpartition(-tail, HARDEST)[:HARDEST], random.integers(0, len(keys), HARDEST)])
            weight = tail[some]
        used = np.concatenate([np.arange(len(refused)), len(refused) + some])
        weight = np.concatenate([np.ones(len(refused)), weight * (4 * len(refused) / weight.sum())])
        glance = learn(glance, x[used], y[used], (weight / weight.mean()).astype(np.float32), 4, 3e-3, random)
    glance = of_plain_features(glance, mean, deviation)
    of_all = evidence_of(glance, keys)
    of_keys, of_others = of_all[:own], of_all[own:]
    of_voices = evidence_of(glance, voices)
    thresholds = []
    for at in least:
        lowest = [of_keys[sure >= at].min(), of_others[sure_others >= at].min()]
        thresholds.append(float(min(lowest)) - MARGIN)
        print("%s, glance: keys from %.2f, of others from %.2f (%d and %d looks); other voices let through %.1f %%" %
              (name, lowest[0], lowest[1], np.sum(sure >= at), np.sum(sure_others >= at),
               100 * np.mean(of_voices >= thresholds[-1])), flush=True)
    return glance, thresholds


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
    spoken = ~lessons.is_key & (lessons.scene < FOLDERS)  # as it was recorded, not by other voices
    chance = lessons.last_chance(span)
    for a_minute in (0.25, 0.5, 1, 2):
        least = evidence_for(evidence[spoken], lessons.scene[spoken], lessons.distance[spoken], a_minute * active_s / 60)
        missed = ["%s %d/%d" % (SCENES[s], np.sum(chance & (lessons.scene == s) & (evidence < least)),
                                np.sum(chance & (lessons.scene == s))) for s in range(len(SCENES))]
        print("%s, %.2f masks a minute: evidence %.2f; missed: %s" % (name, a_minute, least, ", ".join(missed)), flush=True)


def numbers(values):
    texts = ["%.6g" % value for value in values]
    return ", ".join((text if "." in text or "e" in text else text + ".0") + "f" for text in texts)


def kept_net(path, place):
    """A network of the close look as it was written."""
    with open(path, encoding="ascii") as weights_file:
        text = weights_file.read()
    values = [float(value) for value in re.findall(r"(-?[0-9][0-9.e+-]*)f\b", text[text.index("suspicion_networks"):])]
    first = FEATURES * HIDDEN
    values = np.array(values[place * (first + 2 * HIDDEN + 3):], dtype=np.float32)
    return [values[:first].reshape(FEATURES, HIDDEN), values[first:first + HIDDEN],
            values[first + HIDDEN:first + 2 * HIDDEN].reshape(HIDDEN, 1), values[first + 2 * HIDDEN:first + 2 * HIDDEN + 1]]


def write_nets(out, kind, name, nets, least):
    out.write("const struct %s %s[SUSPICION_HASTES] = {\n" % (kind, name))
    for net, (plain, strict) in zip(nets, least):
        out.write("    {\n        .weight = {\n")
        for row in net[0]:
            out.write("            {%s},\n" % numbers(row))
        out.write("        },\n        .hidden_bias = {%s},\n        .out = {%s},\n        .bias = %s,\n"
                  "        .evidence_min = %s,\n        .evidence_min_strict = %s,\n    },\n" %
                  (numbers(net[1]), numbers(net[2][:, 0]), numbers(net[3]), numbers([plain]), numbers([strict])))
    out.write("};\n")


def main():
    if len(sys.argv) not in (9, 10):
        sys.exit(__doc__)
    lessons, check = Lessons(sys.argv[1]), Lessons(sys.argv[2])
    least = [float(value) for value in sys.argv[5:9]]
    least = [least[:2], least[2:]]
    nets, glances, glances_least = [], [], []
    for place, ((name, least_distance, span, loud_weight), at) in enumerate(zip(HASTES, least)):
        if name.split()[1] in sys.argv[9:]:
            nets.append(kept_net(sys.argv[4], place))
        else:
            nets.append(teach(lessons, least_distance, span, loud_weight))
        judge(name, lessons, nets[-1], span, float(sys.argv[3]))
        glance, thresholds = teach_glance(name, lessons, check, nets[-1], least_distance, at)
        glances.append(glance)
        glances_least.append(thresholds)
    with open(sys.argv[4], "w", encoding="ascii") as out:
        out.write("/* Written by bench/corpus/teach_suspicion.py; how: bench/corpus/README.md. */\n"
                  '#include "dsp/suspicion_priv.h"\n\n/* clang-format off */\n')
        write_nets(out, "suspicion_network", "suspicion_networks", nets, least)
        out.write("\n")
        write_nets(out, "suspicion_glance_network", "suspicion_glance_networks", glances, glances_least)
        out.write("/* clang-format on */\n")


if __name__ == "__main__":
    main()
