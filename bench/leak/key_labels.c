#include "bench/leak/key_labels.h"

#include "bench/leak/attacker.h"
#include "bench/leak/label_track.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REASON_BYTES  256
#define SAMPLE_MAX    (8000LL * 4 * 3600)
#define FIND_WINDOW   160  /* 20 ms */
#define FIND_HOP      20   /* 2.5 ms */
#define FIND_SHARE    0.85 /* of a window's energy in one pair */
#define FIND_LOUD     60.0 /* root mean square, about -51 dBm0 */
#define FIND_TONE_MIN 0.04 /* of the pair's energy in its weaker tone: 14 dB of twist */
#define FIND_RUN      3    /* windows in a row */

static const char letters[] = "0123456789*#ABCD";

int key_label_number(char key)
{
    if (key >= 'a' && key <= 'd')
        key = (char)(key - 'a' + 'A');
    const char *found = key == '\0' ? NULL : strchr(letters, key);
    return found == NULL ? -1 : (int)(found - letters);
}

char key_label_letter(unsigned key)
{
    return key < 16 ? letters[key] : '?';
}

void key_labels_release(struct key_labels *labels)
{
    free(labels->labels);
    memset(labels, 0, sizeof *labels);
}

static const char *take_label(struct key_label *label, const json_t *item, size_t earliest)
{
    const char *key = json_string_value(json_object_get(item, "key"));
    const json_t *onset = json_object_get(item, "onset_sample");
    const json_t *end = json_object_get(item, "end_sample");
    if (key == NULL || strlen(key) != 1 || key_label_number(key[0]) < 0)
        return "expected \"key\" to be one of 0-9, *, #, A-D";
    if (!json_is_integer(onset) || !json_is_integer(end))
        return "expected integers \"onset_sample\" and \"end_sample\"";
    long long from = json_integer_value(onset);
    long long to = json_integer_value(end);
    if (from < 0 || from >= to || to > SAMPLE_MAX || (size_t)from < earliest)
        return "expected onset_sample < end_sample, keys in order and apart";
    const json_t *tone = json_object_get(item, "tone");
    *label =
        (struct key_label){(unsigned char)key_label_number(key[0]), (size_t)from, (size_t)to, KEY_UNKNOWN};
    if (tone != NULL)
        label->tone = json_is_true(tone) ? KEY_IS_TONE : KEY_IS_SILENT;
    return NULL;
}

static const char *take_labels(struct key_labels *out, const json_t *root)
{
    const json_t *rate = json_object_get(root, "sample_rate");
    const json_t *keys = json_object_get(root, "keys");
    if (rate != NULL && json_integer_value(rate) != 8000)
        return "expected \"sample_rate\" to be 8000";
    if (!json_is_array(keys) || json_array_size(keys) > KEY_LABELS_MAX)
        return "expected \"keys\" to be an array of at most 100000 keys";
    out->labels = calloc(json_array_size(keys) + 1, sizeof *out->labels);
    if (out->labels == NULL)
        return "not enough memory";
    size_t earliest = 0;
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *wrong = take_label(&out->labels[i], json_array_get(keys, i), earliest);
        if (wrong != NULL)
            return wrong;
        earliest = out->labels[i].end;
        out->count = i + 1;
    }
    return NULL;
}

enum err key_labels_parse(struct key_labels *out, const char *name, const char *text, size_t length,
                          char *reason)
{
    memset(out, 0, sizeof *out);
    json_error_t where;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &where);
    if (root == NULL) {
        /* The library's message may quote the text, which holds keys: only the place is told. */
        snprintf(reason, REASON_BYTES, "%s:%d: is not JSON", name, where.line);
        return ERR_SYNTAX;
    }
    const char *wrong = take_labels(out, root);
    json_decref(root);
    if (wrong == NULL)
        return OK;
    snprintf(reason, REASON_BYTES, "%s: key %zu: %s", name, out->count + 1, wrong);
    key_labels_release(out);
    return ERR_SYNTAX;
}

static enum err parse_any(struct key_labels *out, const char *path, const char *text, size_t length,
                          char *reason)
{
    size_t at = 0;
    while (at < length && strchr(" \t\r\n", text[at]) != NULL)
        at++;
    if (at < length && text[at] == '{')
        return key_labels_parse(out, path, text, length, reason);
    enum err err = label_track_parse(out, path, text, length, reason);
    if (err != OK)
        key_labels_release(out);
    return err;
}

enum err key_labels_read(struct key_labels *out, const char *path, char *reason)
{
    memset(out, 0, sizeof *out);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        snprintf(reason, REASON_BYTES, "%s: %m", path);
        return ERR_SYSTEM;
    }
    const size_t capacity = 16U << 20;
    char *text = malloc(capacity);
    size_t length = text == NULL ? 0 : fread(text, 1, capacity, file);
    bool is_whole = text != NULL && length < capacity && !ferror(file);
    fclose(file);
    enum err err = ERR_SYNTAX;
    if (is_whole)
        err = parse_any(out, path, text, length, reason);
    else
        snprintf(reason, REASON_BYTES, "%s: cannot be read, or is larger than 16 MB", path);
    free(text);
    return err;
}

/* ------------------------------------------------------------------ listening */

/* Energy of the window at one frequency, as a share of amplitude squared. */
static double tone_energy(const float *samples, double hz)
{
    double re = 0;
    double im = 0;
    for (int i = 0; i < FIND_WINDOW; i++) {
        double phase = 2 * M_PI * hz * i / 8000;
        re += samples[i] * cos(phase);
        im += samples[i] * sin(phase);
    }
    return (re * re + im * im) * 2 / FIND_WINDOW;
}

/* The key whose pair makes up the window, or -1. */
static int window_key(const float *samples)
{
    double energy = 0;
    for (int i = 0; i < FIND_WINDOW; i++)
        energy += (double)samples[i] * samples[i];
    if (energy < FIND_LOUD * FIND_LOUD * FIND_WINDOW)
        return -1;
    int best = -1;
    double most = 0;
    for (unsigned key = 0; key < 16; key++) {
        double low_hz;
        double high_hz;
        attacker_key_tones(key, &low_hz, &high_hz);
        double low = tone_energy(samples, low_hz);
        double high = tone_energy(samples, high_hz);
        if (low + high > most && fmin(low, high) > FIND_TONE_MIN * (low + high)) {
            most = low + high;
            best = (int)key;
        }
    }
    return most > FIND_SHARE * energy ? best : -1;
}

enum err key_labels_find(struct key_labels *out, const float *samples, size_t count)
{
    memset(out, 0, sizeof *out);
    out->labels = calloc(count / (FIND_WINDOW / 2) + 2, sizeof *out->labels);
    if (out->labels == NULL)
        return ERR_MEMORY;
    int running = -1;
    size_t run = 0;
    size_t from = 0;
    for (size_t at = 0;; at += FIND_HOP) {
        bool is_end = at + FIND_WINDOW > count;
        int key = is_end ? -1 : window_key(samples + at);
        if (key == running && !is_end) {
            run++;
            continue;
        }
        /* A window is taken for a tone from about 90 % overlap on: its edges lie that much inside. */
        if (running >= 0 && run >= FIND_RUN)
            out->labels[out->count++] = (struct key_label){(unsigned char)running, from + 16,
                                                           at - FIND_HOP + FIND_WINDOW - 16, KEY_IS_TONE};
        if (is_end)
            return OK;
        running = key;
        run = 1;
        from = at;
    }
}
