#include "bench/leak/leak_text.h"

#include <jansson.h>
#include <math.h>

#define RATE          8000.0
#define MS_PER_SAMPLE 0.125

void leak_print_text(FILE *file, const struct leak_report *report, const struct leak_names *names)
{
    fprintf(file, "sent       %s\ndelivered  %s\n", names->sent ? names->sent : "(not known)",
            names->delivered);
    fprintf(file, "delay     ");
    for (size_t l = 0; l < report->lag_count; l++)
        fprintf(file, " %.3f ms", report->lags[l] * MS_PER_SAMPLE);
    fprintf(file, "\n\n  key   at s     ms   leaked ms   low dBm0  high dBm0  floor dBm0  attacker\n");
    for (size_t k = 0; k < report->key_count; k++) {
        const struct leak_key *key = &report->keys[k];
        fprintf(file, "%5zu %8.3f %5.0f %9.3f   %8.1f   %8.1f    %8.1f  %s%s\n", k + 1,
                (double)key->onset / RATE, (double)(key->end - key->onset) * MS_PER_SAMPLE, key->leaked_ms,
                key->low_dbm0, key->high_dbm0, key->floor_dbm0,
                key->is_named_surely ? "knows it"
                : key->is_named      ? "right"
                                     : "wrong",
                key->is_missing  ? "  (recording ends before)"
                : key->is_silent ? "  (not sent as a tone)"
                                 : "");
    }
    fprintf(file, "\nkeys %s %zu, leaked %zu, most of one key %.3f ms, in all %.3f ms\n",
            names->sent ? "sent" : "heard", report->key_count, report->keys_leaked, report->leaked_ms_max,
            report->leaked_ms_total);
    fprintf(file, "attacker: %zu of %zu right (%.1f..%.1f %% at 95 %%), chance %.1f %%, by luck p = %.3g\n",
            report->attacker_correct, report->attacker_trials, report->attacker_low * 100,
            report->attacker_high * 100, report->attacker_chance * 100, report->attacker_p);
    if (report->keys_missing > 0)
        fprintf(file, "%zu keys lie outside the delivered recording\n", report->keys_missing);
    fprintf(file, "verdict: %s\n", report->is_leaked ? "LEAKED" : "nothing leaked");
}

static json_t *key_json(const struct leak_key *key)
{
    json_t *levels = json_array();
    for (size_t i = 0; i < LEAK_FREQUENCIES; i++)
        json_array_append_new(levels, json_real(round(key->at_dbm0[i] * 100) / 100));
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:b,s:b,s:b,s:b,s:o}", "onset_ms",
                     (double)key->onset * MS_PER_SAMPLE, "end_ms", (double)key->end * MS_PER_SAMPLE,
                     "delay_ms", key->lag * MS_PER_SAMPLE, "leaked_ms", key->leaked_ms, "low_dbm0",
                     key->low_dbm0, "high_dbm0", key->high_dbm0, "floor_dbm0", key->floor_dbm0,
                     "attacker_right", key->is_named, "attacker_sure", key->is_named_surely, "missing",
                     key->is_missing, "silent", key->is_silent, "levels_dbm0", levels);
}

static json_t *attacker_json(const struct leak_report *report)
{
    return json_pack("{s:i,s:I,s:I,s:I,s:f,s:[f,f],s:f}", "classes", (int)report->attacker_classes, "correct",
                     (json_int_t)report->attacker_correct, "of", (json_int_t)report->attacker_trials, "sure",
                     (json_int_t)report->attacker_sure, "chance", report->attacker_chance, "interval",
                     report->attacker_low, report->attacker_high, "p", report->attacker_p);
}

enum err leak_print_json(FILE *file, const struct leak_report *report, const struct leak_names *names)
{
    json_t *keys = json_array();
    json_t *delays = json_array();
    for (size_t k = 0; k < report->key_count; k++)
        json_array_append_new(keys, key_json(&report->keys[k]));
    for (size_t l = 0; l < report->lag_count; l++)
        json_array_append_new(delays, json_real(report->lags[l] * MS_PER_SAMPLE));
    json_t *root =
        json_pack("{s:s,s:s?,s:s,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:o,s:o,s:o}", "verdict",
                  report->is_leaked ? "leaked" : "clean", "sent", names->sent, "delivered", names->delivered,
                  "keys_sent", (json_int_t)report->key_count, "keys_leaked", (json_int_t)report->keys_leaked,
                  "keys_missing", (json_int_t)report->keys_missing, "keys_silent",
                  (json_int_t)report->keys_silent, "leaked_ms_max", report->leaked_ms_max, "leaked_ms_total",
                  report->leaked_ms_total, "residual_dbm0_max", report->residual_dbm0_max, "attacker",
                  attacker_json(report), "delays_ms", delays, "keys", keys);
    if (root == NULL)
        return ERR_MEMORY;
    json_dumpf(root, file, JSON_COMPACT | JSON_REAL_PRECISION(6));
    fputc('\n', file);
    json_decref(root);
    return OK;
}
