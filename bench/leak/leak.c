#include "bench/leak/leak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RATE          8000.0
#define PER_MS        8
#define LEFT_OUT_TAIL 480 /* after a key the mask holds on: not looked for when aligning */
#define LEFT_OUT_HEAD 160
#define EARLY         80   /* the attacker listens from 10 ms before a key */
#define LATE          320  /* until 40 ms after it */
#define FIT_BLOCK     80   /* the sent tone is fitted in pieces of 10 ms */
#define SPECTRUM_MIN  160  /* shorter pieces than 20 ms say nothing about single frequencies */
#define STANDS_OUT_DB 12.0 /* both tones by so much above the floor: 1e-7 on noise */
#define AUDIBLE_DB    6.0  /* in the sent recording less is enough to take it for a tone */
#define SURE_SCORE    30.0 /* attacker: neither is reached on noise */
#define SURE_MARGIN   14.0

/* Windows of the first judge. Shorter ones must match better, since noise has fewer ways to differ from a tone; the
 * shortest only count as copies of the very samples, not as something fainter. */
struct copy_window {
    size_t length;
    double match_least; /* squared correlation */
    double gain_least;
};
static const struct copy_window copy_windows[] = {
    {8, 0.997, 0.8}, {16, 0.98, 0.6}, {40, 0.93, 0}, {80, 0.75, 0}, {160, 0.45, 0}, {400, 0.25, 0},
};
#define COPY_WINDOWS (sizeof copy_windows / sizeof copy_windows[0])

static double level_dbm0(double mean_square)
{
    return 10 * log10(mean_square * 2 / (32768.0 * 32768.0) + 1e-13) + 3.14;
}

/* ------------------------------------------------------------------ the tone as it was sent */

/* Least squares of count samples on cosine and sine of both frequencies; out gets the fit. */
static void fit_tones(const float *samples, size_t count, const double hz[2], float *out)
{
    double basis[4][FIT_BLOCK * 2];
    memset(out, 0, count * sizeof *out);
    for (size_t j = 0; j < 4; j++) {
        double energy = 0;
        for (size_t i = 0; i < count; i++) {
            double phase = 2 * M_PI * hz[j / 2] * (double)i / RATE;
            basis[j][i] = j % 2 ? sin(phase) : cos(phase);
        }
        for (size_t before = 0; before < j; before++) {
            double dot = 0;
            for (size_t i = 0; i < count; i++)
                dot += basis[j][i] * basis[before][i];
            for (size_t i = 0; i < count; i++)
                basis[j][i] -= dot * basis[before][i];
        }
        for (size_t i = 0; i < count; i++)
            energy += basis[j][i] * basis[j][i];
        double dot = 0;
        for (size_t i = 0; i < count; i++) {
            basis[j][i] /= sqrt(energy + 1e-12);
            dot += samples[i] * basis[j][i];
        }
        for (size_t i = 0; i < count; i++)
            out[i] += (float)(dot * basis[j][i]);
    }
}

/* The key's tones without the speech under them: a fit piece by piece. */
static void sent_tone(const float *samples, size_t count, unsigned key, float *out)
{
    double hz[2];
    attacker_key_tones(key, &hz[0], &hz[1]);
    for (size_t at = 0; at < count;) {
        size_t left = count - at;
        size_t piece = left < 2 * FIT_BLOCK ? left : FIT_BLOCK;
        fit_tones(samples + at, piece, hz, out + at);
        at += piece;
    }
}

/* ------------------------------------------------------------------ judge 1: copies */

struct pair_sums {
    double product;
    double sent;
    double delivered;
};

static struct pair_sums sum_window(const float *sent, const float *delivered, size_t length)
{
    struct pair_sums sums = {0, 0, 0};
    for (size_t i = 0; i < length; i++) {
        sums.product += (double)sent[i] * delivered[i];
        sums.sent += (double)sent[i] * sent[i];
        sums.delivered += (double)delivered[i] * delivered[i];
    }
    return sums;
}

static bool is_copy(struct pair_sums sums, const struct copy_window *window)
{
    if (sums.sent <= 0 || sums.delivered <= 0)
        return false;
    double gain = sums.product / sums.sent;
    double found = gain * gain * sums.sent / (double)window->length;
    return sums.product * sums.product >= window->match_least * sums.sent * sums.delivered &&
           fabs(gain) >= window->gain_least && fabs(gain) <= 2 && level_dbm0(found) >= LEAK_RESIDUAL_DBM0;
}

/* Marks every sample of the key that lies in a window where delivered (aligned) is a copy of reference. */
static void mark_copies(const float *reference, const float *delivered, size_t count,
                        const struct copy_window *window, bool *marks)
{
    size_t hop = window->length / 8;
    for (size_t at = 0; at + window->length <= count; at += hop)
        if (is_copy(sum_window(reference + at, delivered + at, window->length), window))
            memset(marks + at, true, window->length * sizeof *marks);
}

/* Delivered samples that belong to [from, from + count) of the sent recording; zeros where there are none. */
static void take_delivered(const struct align_signal *delivered, long from, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        long at = from + (long)i;
        out[i] = at >= 0 && at < (long)delivered->count ? delivered->samples[at] : 0;
    }
}

struct workspace { /* room for the longest key and what is around it */
    float *sent;
    float *tone;
    float *delivered;
    bool *marks;
};

static double judge_copies(const struct align_signal *delivered, const struct align *align,
                           const struct key_label *label, const struct leak_key *key, int other_lag,
                           const struct workspace *work)
{
    size_t count = label->end - label->onset;
    memset(work->marks, 0, count * sizeof *work->marks);
    for (size_t l = 0; l < align->lag_count + 2; l++) {
        int lag = l < align->lag_count ? align->lags[l] : l == align->lag_count ? key->lag : other_lag;
        take_delivered(delivered, (long)label->onset + lag, count, work->delivered);
        for (size_t w = 0; w < COPY_WINDOWS; w++) {
            bool is_verbatim = copy_windows[w].gain_least > 0;
            mark_copies(is_verbatim ? work->sent : work->tone, work->delivered, count, &copy_windows[w],
                        work->marks);
        }
    }
    size_t marked = 0;
    for (size_t i = 0; i < count; i++)
        marked += work->marks[i];
    return (double)marked / PER_MS;
}

/* ------------------------------------------------------------------ judge 2: spectrum */

static double tone_level(const float *samples, size_t count, double hz)
{
    double re = 0;
    double im = 0;
    double weight = 0;
    for (size_t i = 0; i < count; i++) {
        double hann = 0.5 - 0.5 * cos(2 * M_PI * ((double)i + 0.5) / (double)count);
        double phase = 2 * M_PI * hz * (double)i / RATE;
        re += hann * samples[i] * cos(phase);
        im += hann * samples[i] * sin(phase);
        weight += hann;
    }
    return level_dbm0((re * re + im * im) * 2 / (weight * weight));
}

/* Mean power between the tones' bands, where no key has energy. */
static double floor_level(const float *samples, size_t count, const double *hz, size_t places)
{
    double sum = 0;
    for (size_t p = 0; p < places; p++)
        sum += pow(10, tone_level(samples, count, hz[p]) / 10);
    return 10 * log10(sum / (double)places + 1e-13);
}

/* All eight, whatever key it was: the key on row n and column n has the n-th low and the n-th high one. */
static void measure_all(struct leak_key *key, const float *samples, size_t count)
{
    static const unsigned diagonal[] = {1, 5, 9, 15}; /* 1 5 9 D */
    for (size_t i = 0; i < LEAK_FREQUENCIES / 2; i++) {
        double low_hz;
        double high_hz;
        attacker_key_tones(diagonal[i], &low_hz, &high_hz);
        key->at_dbm0[i] = tone_level(samples, count, low_hz);
        key->at_dbm0[LEAK_FREQUENCIES / 2 + i] = tone_level(samples, count, high_hz);
    }
}

static void judge_spectrum(struct leak_key *key, unsigned number, const float *samples, size_t count,
                           double stands_out_db)
{
    static const double beside_low[] = {560, 610, 1030, 1075};
    static const double beside_high[] = {1075, 1120, 1720, 1780};
    double low_hz;
    double high_hz;
    attacker_key_tones(number, &low_hz, &high_hz);
    key->low_dbm0 = tone_level(samples, count, low_hz);
    key->high_dbm0 = tone_level(samples, count, high_hz);
    double low_floor = floor_level(samples, count, beside_low, 4);
    double high_floor = floor_level(samples, count, beside_high, 4);
    key->floor_dbm0 = fmax(low_floor, high_floor);
    key->is_tone_left = key->low_dbm0 - low_floor > stands_out_db &&
                        key->high_dbm0 - high_floor > stands_out_db &&
                        fmax(key->low_dbm0, key->high_dbm0) > LEAK_RESIDUAL_DBM0;
}

/* ------------------------------------------------------------------ one key, all judges */

static void judge_attack(struct leak_key *key, const struct align_signal *delivered,
                         const struct key_label *label, unsigned classes, const struct workspace *work)
{
    size_t around = label->end - label->onset + EARLY + LATE;
    take_delivered(delivered, (long)label->onset + key->lag - EARLY, around, work->delivered);
    struct attacker_guess guess = attacker_listen(work->delivered, around, classes);
    key->is_named = guess.key == label->key;
    /* Speech before and after a key makes him sure of something, too: that he knows is only believed inside. */
    take_delivered(delivered, (long)label->onset + key->lag, label->end - label->onset, work->delivered);
    guess = attacker_listen(work->delivered, label->end - label->onset, classes);
    key->is_named_surely = guess.key == label->key && guess.score > SURE_SCORE && guess.margin > SURE_MARGIN;
}

/* Without a word from the labels the sent recording itself decides whether there was a tone to leak. */
static bool is_sent_as_tone(const struct key_label *label, const float *sent, size_t count)
{
    struct leak_key heard = {0};
    if (label->tone != KEY_UNKNOWN || count < SPECTRUM_MIN)
        return label->tone != KEY_IS_SILENT;
    judge_spectrum(&heard, label->key, sent, count, AUDIBLE_DB);
    return heard.is_tone_left;
}

/* Where the lag changes around a key, only what both lags call inside of it is looked at. */
static void judge_rest(struct leak_key *key, const struct align_signal *delivered,
                       const struct key_label *label, int other_lag, const struct workspace *work)
{
    int count = (int)(label->end - label->onset);
    int apart = abs(other_lag - key->lag);
    if (count - apart < SPECTRUM_MIN)
        return;
    long from = (long)label->onset + (other_lag > key->lag ? other_lag : key->lag);
    take_delivered(delivered, from, (size_t)(count - apart), work->delivered);
    judge_spectrum(key, label->key, work->delivered, (size_t)(count - apart), STANDS_OUT_DB);
    measure_all(key, work->delivered, (size_t)(count - apart));
    if (key->is_tone_left && key->leaked_ms <= 0)
        key->leaked_ms = (double)count / PER_MS;
}

static void judge_key(struct leak_key *key, const struct align_signal *sent,
                      const struct align_signal *delivered, const struct align *align,
                      const struct key_label *label, unsigned classes, const struct workspace *work)
{
    int other_lag;
    size_t count = label->end - label->onset;
    key->onset = label->onset;
    key->end = label->end;
    align_around(align, label->onset, &key->lag, &other_lag);
    long last = (long)label->end + key->lag;
    key->is_missing = last > (long)delivered->count || (long)label->onset + key->lag < 0;
    key->low_dbm0 = key->high_dbm0 = key->floor_dbm0 = level_dbm0(0);
    for (size_t i = 0; i < LEAK_FREQUENCIES; i++)
        key->at_dbm0[i] = level_dbm0(0);
    memcpy(work->sent, sent->samples + label->onset, count * sizeof *work->sent);
    key->is_silent = !is_sent_as_tone(label, work->sent, count);
    if (!key->is_silent) {
        sent_tone(work->sent, count, label->key, work->tone);
        key->leaked_ms = judge_copies(delivered, align, label, key, other_lag, work);
        judge_attack(key, delivered, label, classes, work);
    }
    judge_rest(key, delivered, label, other_lag, work);
}

static enum err workspace_new(struct workspace *work, const struct key_labels *labels, size_t sent_count)
{
    size_t longest = 0;
    memset(work, 0, sizeof *work);
    for (size_t k = 0; k < labels->count; k++) {
        if (labels->labels[k].end > sent_count)
            return ERR_RANGE;
        size_t length = labels->labels[k].end - labels->labels[k].onset;
        longest = length > longest ? length : longest;
    }
    longest += EARLY + LATE;
    work->sent = calloc(longest, sizeof *work->sent);
    work->tone = calloc(longest, sizeof *work->tone);
    work->delivered = calloc(longest, sizeof *work->delivered);
    work->marks = calloc(longest, sizeof *work->marks);
    return work->sent && work->tone && work->delivered && work->marks ? OK : ERR_MEMORY;
}

static void workspace_free(struct workspace *work)
{
    free(work->sent);
    free(work->tone);
    free(work->delivered);
    free(work->marks);
}

static enum err find_lags(struct align *align, const struct align_signal *sent,
                          const struct align_signal *delivered, const struct key_labels *labels,
                          const struct leak_options *options)
{
    if (options->has_lag)
        return align_fixed(align, options->lag);
    struct align_span *leave_out = calloc(labels->count + 1, sizeof *leave_out);
    if (leave_out == NULL)
        return ERR_MEMORY;
    for (size_t k = 0; k < labels->count; k++) {
        size_t onset = labels->labels[k].onset;
        leave_out[k] = (struct align_span){onset < LEFT_OUT_HEAD ? 0 : onset - LEFT_OUT_HEAD,
                                           labels->labels[k].end + LEFT_OUT_TAIL};
    }
    enum err err = align_find(align, sent, delivered, leave_out, labels->count);
    free(leave_out);
    return err;
}

static unsigned pick_classes(const struct key_labels *labels, unsigned wish)
{
    if (wish != 0)
        return wish;
    for (size_t k = 0; k < labels->count; k++)
        if (labels->labels[k].key > 11)
            return 16;
    return 12;
}

static void sum_up(struct leak_report *report)
{
    report->residual_dbm0_max = -99;
    for (size_t k = 0; k < report->key_count; k++) {
        const struct leak_key *key = &report->keys[k];
        report->keys_leaked += key->leaked_ms > 0;
        report->keys_missing += key->is_missing;
        report->leaked_ms_total += key->leaked_ms;
        report->leaked_ms_max = fmax(report->leaked_ms_max, key->leaked_ms);
        report->keys_silent += key->is_silent;
        report->attacker_trials += !key->is_silent;
        report->attacker_correct += key->is_named;
        report->attacker_sure += key->is_named_surely;
        if (key->is_tone_left)
            report->residual_dbm0_max = fmax(report->residual_dbm0_max, fmax(key->low_dbm0, key->high_dbm0));
    }
    report->attacker_chance = 1.0 / report->attacker_classes;
    attacker_wilson(report->attacker_correct, report->attacker_trials, &report->attacker_low,
                    &report->attacker_high);
    report->attacker_p =
        attacker_chance_of(report->attacker_correct, report->attacker_trials, report->attacker_chance);
    report->is_leaked =
        report->keys_leaked > 0 || report->attacker_sure > 0 || report->attacker_p < LEAK_CHANCE_LEAST;
}

enum err leak_judge(struct leak_report *report, const struct align_signal *sent,
                    const struct align_signal *delivered, const struct key_labels *labels,
                    const struct leak_options *options)
{
    struct align align = {0};
    struct workspace work;
    memset(report, 0, sizeof *report);
    enum err err = workspace_new(&work, labels, sent->count);
    if (err == OK)
        err = find_lags(&align, sent, delivered, labels, options);
    if (err == OK) {
        report->keys = calloc(labels->count + 1, sizeof *report->keys);
        err = report->keys == NULL ? ERR_MEMORY : OK;
    }
    if (err != OK)
        goto out;
    report->key_count = labels->count;
    report->attacker_classes = pick_classes(labels, options->classes);
    for (size_t k = 0; k < labels->count; k++)
        judge_key(&report->keys[k], sent, delivered, &align, &labels->labels[k], report->attacker_classes,
                  &work);
    memcpy(report->lags, align.lags, sizeof report->lags);
    report->lag_count = align.lag_count;
    sum_up(report);
out:
    align_release(&align);
    workspace_free(&work);
    return err;
}

void leak_report_release(struct leak_report *report)
{
    free(report->keys);
    memset(report, 0, sizeof *report);
}
