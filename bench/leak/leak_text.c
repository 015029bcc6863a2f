#include "bench/leak/leak_text.h"

#include "bench/leak/spectrogram.h"

#include <jansson.h>
#include <stdlib.h>

#define RATE           8000.0
#define PICTURE_WIDTH  1600
#define PICTURE_HEIGHT 180
#define MS_PER_SAMPLE  0.125

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
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:b,s:b,s:b,s:b}", "onset_ms",
                     (double)key->onset * MS_PER_SAMPLE, "end_ms", (double)key->end * MS_PER_SAMPLE,
                     "delay_ms", key->lag * MS_PER_SAMPLE, "leaked_ms", key->leaked_ms, "low_dbm0",
                     key->low_dbm0, "high_dbm0", key->high_dbm0, "floor_dbm0", key->floor_dbm0,
                     "attacker_right", key->is_named, "attacker_sure", key->is_named_surely, "missing",
                     key->is_missing, "silent", key->is_silent);
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

/* ------------------------------------------------------------------ page */

static void print_escaped(FILE *file, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '<':
            fputs("&lt;", file);
            break;
        case '&':
            fputs("&amp;", file);
            break;
        case '"':
            fputs("&quot;", file);
            break;
        default:
            fputc(*text, file);
        }
}

static enum err print_picture(FILE *file, const char *title, const char *name,
                              const struct align_signal *signal, double from_s, double length_s)
{
    struct spectrogram_options options = {PICTURE_WIDTH, PICTURE_HEIGHT, from_s, length_s, 0, -70};
    unsigned char *png = NULL;
    size_t bytes = 0;
    enum err err = spectrogram_png(signal->samples, signal->count, &options, &png, &bytes);
    if (err != OK)
        return err;
    char *text = spectrogram_base64(png, bytes);
    free(png);
    if (text == NULL)
        return ERR_MEMORY;
    fprintf(file, "<figure><figcaption>%s <small>", title);
    print_escaped(file, name);
    fprintf(file,
            "</small></figcaption><img alt=\"spectrogram, 0 to 4 kHz\" "
            "src=\"data:image/png;base64,%s\"></figure>\n",
            text);
    free(text);
    return OK;
}

static void print_marks(FILE *file, const struct leak_report *report, double length_s)
{
    fprintf(file, "<svg viewBox=\"0 0 1600 34\" preserveAspectRatio=\"none\">");
    for (size_t k = 0; k < report->key_count; k++) {
        const struct leak_key *key = &report->keys[k];
        fprintf(file, "<rect x=\"%.2f\" y=\"4\" width=\"%.2f\" height=\"26\" class=\"%s\"/>",
                (double)key->onset / RATE / length_s * 1600,
                (double)(key->end - key->onset) / RATE / length_s * 1600,
                key->leaked_ms > 0 || key->is_named_surely ? "bad" : "good");
    }
    fprintf(file, "</svg>\n");
}

static void print_table(FILE *file, const struct leak_report *report)
{
    fprintf(file, "<table><tr><th>key<th>at, s<th>leaked, ms<th>low, dBm0<th>high, dBm0<th>floor, "
                  "dBm0<th>attacker</tr>\n");
    for (size_t k = 0; k < report->key_count; k++) {
        const struct leak_key *key = &report->keys[k];
        fprintf(file, "<tr%s><td>%zu<td>%.3f<td>%.3f<td>%.1f<td>%.1f<td>%.1f<td>%s</tr>\n",
                key->leaked_ms > 0 ? " class=bad" : "", k + 1, (double)key->onset / RATE, key->leaked_ms,
                key->low_dbm0, key->high_dbm0, key->floor_dbm0,
                key->is_named_surely ? "knows it"
                : key->is_named      ? "right"
                                     : "wrong");
    }
    fprintf(file, "</table>\n");
}

static const char page_head[] =
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">"
    "<title>Leak report</title><style>:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;"
    "max-width:76rem;margin:2rem auto;padding:0 1rem}figure{margin:.6rem 0}img,svg{width:100%;display:block;"
    "border-radius:4px}img{height:11rem}svg{height:2rem}.good{fill:#2a9d63}.bad{fill:#d8345f;color:#d8345f}"
    "table{border-collapse:collapse;margin-top:1rem}td,th{padding:.15rem .8rem;text-align:right;"
    "border-bottom:1px solid #8884}.verdict{font-size:1.5rem;font-weight:600}</style>\n";

enum err leak_print_html(FILE *file, const struct leak_report *report, const struct leak_names *names,
                         const struct align_signal *sent, const struct align_signal *delivered)
{
    double length_s = (double)sent->count / RATE;
    double lag_s = report->lag_count == 0 ? 0 : report->lags[0] / RATE;
    fputs(page_head, file);
    fprintf(file, "<h1>Leak report</h1><p class=\"verdict%s\">%s</p>\n", report->is_leaked ? " bad" : "",
            report->is_leaked ? "Leaked" : "Nothing leaked");
    fprintf(file,
            "<p>%zu keys %s, %zu leaked; most of one key: %.3f ms. Attacker: %zu of %zu right (%.1f to "
            "%.1f %% at "
            "95 %%), chance %.1f %%.</p>\n",
            report->key_count, names->sent ? "sent" : "heard", report->keys_leaked, report->leaked_ms_max,
            report->attacker_correct, report->attacker_trials, report->attacker_low * 100,
            report->attacker_high * 100, report->attacker_chance * 100);
    enum err err = OK;
    if (names->sent != NULL)
        err = print_picture(file, "Sent", names->sent, sent, 0, length_s);
    if (err != OK)
        return err;
    print_marks(file, report, length_s);
    err = print_picture(file, "Delivered", names->delivered, delivered, lag_s, length_s);
    if (err == OK)
        print_table(file, report);
    return err;
}
