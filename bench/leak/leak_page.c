#include "bench/leak/leak_page.h"

#include "bench/leak/spectrogram.h"
#include "bench/page/page.h"

#include <math.h>
#include <stdlib.h>

#define RATE           8000.0
#define PICTURE_WIDTH  1600
#define PICTURE_HEIGHT 180
#define MS_PER_SAMPLE  0.125
#define WHOLE_S        45.0 /* a recording up to here is one picture */
#define PIECE_S        30.0
#define PIECES_MAX     8 /* a page stays below about ten megabytes */
#define TABLE_MAX      500
#define STANDS_OUT_DB  12.0 /* above the background: shown in the colour of a leak */

/* ------------------------------------------------------------------ words */

static const char *heard_word(const struct leak_report *report, const struct leak_names *names)
{
    if (names->sent == NULL)
        return report->key_count == 1 ? "key press can be heard" : "key presses can be heard";
    return report->key_count == 1 ? "key was sent" : "keys were sent";
}

static void print_verdict(FILE *page, const struct leak_report *report, const struct leak_names *names)
{
    fprintf(page, "<p class=\"verdict %s\">%s</p>\n<p>", report->is_leaked ? "bad" : "good",
            report->is_leaked ? "Keys leaked" : "Nothing leaked");
    fprintf(page, "%zu %s. ", report->key_count, heard_word(report, names));
    if (report->keys_leaked > 0)
        fprintf(page,
                "Of %zu of them a part of the tone is in what was delivered: %.1f ms of one key at most, "
                "%.1f ms in "
                "all. A few milliseconds are enough to name a key. ",
                report->keys_leaked, report->leaked_ms_max, report->leaked_ms_total);
    else if (report->key_count > 0)
        fputs("No part of any of their tones was found in what was delivered. ", page);
    if (report->attacker_sure > 0)
        fprintf(page, "Somebody who only has the delivered recording knows %zu of them for certain.",
                report->attacker_sure);
    else if (report->attacker_trials > 0 && report->attacker_p < LEAK_CHANCE_LEAST)
        fputs("Somebody who only has the delivered recording names more of them than luck explains.", page);
    else if (report->attacker_trials > 0)
        fputs("Somebody who only has the delivered recording does no better than by guessing.", page);
    fputs("</p>\n", page);
    if (report->keys_missing > 0)
        fprintf(page,
                "<p class=\"bad\">%zu of the keys lie outside the delivered recording: it says nothing about "
                "them.</p>\n",
                report->keys_missing);
}

static void print_tiles(FILE *page, const struct leak_report *report)
{
    char figure[64];
    char caption[160];
    page_tiles_begin(page);
    snprintf(figure, sizeof figure, "%zu of %zu", report->keys_leaked, report->key_count);
    page_tile(page, report->keys_leaked ? PAGE_BAD : PAGE_GOOD, figure, "keys with tone left");
    snprintf(figure, sizeof figure, "%.1f ms", report->leaked_ms_max);
    page_tile(page, report->keys_leaked ? PAGE_BAD : PAGE_GOOD, figure, "of one key at most");
    snprintf(figure, sizeof figure, "%zu of %zu", report->attacker_correct, report->attacker_trials);
    snprintf(caption, sizeof caption, "named by the attacker (%.1f to %.1f %% at 95 %%; by guessing %.1f %%)",
             report->attacker_low * 100, report->attacker_high * 100, report->attacker_chance * 100);
    page_tile(page,
              report->attacker_sure > 0 || report->attacker_p < LEAK_CHANCE_LEAST ? PAGE_BAD : PAGE_GOOD,
              figure, caption);
    if (report->residual_dbm0_max > -99)
        snprintf(figure, sizeof figure, "%.1f dBm0", report->residual_dbm0_max);
    else
        snprintf(figure, sizeof figure, "none");
    page_tile(page, report->residual_dbm0_max > -99 ? PAGE_BAD : PAGE_GOOD, figure,
              "strongest tone that stands out of the background");
    page_tiles_end(page);
}

/* ------------------------------------------------------------------ pictures */

static enum err print_picture(FILE *page, const char *title, const char *name,
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
    fprintf(page, "<figure><figcaption>%s <small>", title);
    page_text(page, name);
    fprintf(page, "</small></figcaption><img alt=\"Spectrogram of what was %s, 0 to 4 kHz, %.1f s\" ",
            title[0] == 'S' ? "sent" : "delivered", length_s);
    fprintf(page, "width=\"%d\" height=\"%d\" src=\"data:image/png;base64,%s\"></figure>\n", PICTURE_WIDTH,
            PICTURE_HEIGHT, text);
    free(text);
    return OK;
}

static bool is_bad(const struct leak_key *key)
{
    return key->leaked_ms > 0 || key->is_named_surely;
}

/* One bar a key, over the pictures' time; a key with tone left is filled to the full height, others are low. */
static void print_marks(FILE *page, const struct leak_report *report, double from_s, double length_s)
{
    fputs("<svg viewBox=\"0 0 1600 24\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Where the "
          "keys are; "
          "tall bars are keys with tone left\">",
          page);
    for (size_t k = 0; k < report->key_count; k++) {
        const struct leak_key *key = &report->keys[k];
        double at_s = (double)key->onset / RATE - from_s;
        double width_s = (double)(key->end - key->onset) / RATE;
        if (at_s + width_s < 0 || at_s > length_s)
            continue;
        fprintf(page, "<rect x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\" fill=\"var(--%s)\"/>",
                at_s / length_s * 1600, is_bad(key) ? 0 : 8, width_s / length_s * 1600, is_bad(key) ? 24 : 10,
                is_bad(key) ? "bad" : "good");
    }
    fputs("</svg>\n", page);
}

static enum err print_strip(FILE *page, const struct leak_report *report, const struct leak_names *names,
                            const struct align_signal *sent, const struct align_signal *delivered,
                            double from_s, double length_s)
{
    double lag_s = report->lag_count == 0 ? 0 : report->lags[0] / RATE;
    enum err err = OK;
    fprintf(page,
            "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"%.1f to %.1f s\"><div "
            "class=\"strip\">",
            from_s, from_s + length_s);
    if (names->sent != NULL)
        err = print_picture(page, "Sent", names->sent, sent, from_s, length_s);
    print_marks(page, report, from_s, length_s);
    if (err == OK)
        err = print_picture(page, "Delivered", names->delivered, delivered, from_s + lag_s, length_s);
    fprintf(page, "</div></div><p class=\"soft\"><small>%.1f to %.1f s; 0 to 4 kHz upwards</small></p>\n",
            from_s, from_s + length_s);
    return err;
}

static bool holds_key(const struct leak_report *report, double from_s, bool must_be_bad)
{
    for (size_t k = 0; k < report->key_count; k++) {
        double at_s = (double)report->keys[k].onset / RATE;
        if (at_s >= from_s && at_s < from_s + PIECE_S && (!must_be_bad || is_bad(&report->keys[k])))
            return true;
    }
    return false;
}

/* A long recording in pieces: those with tone left before those with other keys. */
static enum err print_pieces(FILE *page, const struct leak_report *report, const struct leak_names *names,
                             const struct align_signal *sent, const struct align_signal *delivered)
{
    double length_s = (double)sent->count / RATE;
    size_t shown = 0;
    size_t left_out = 0;
    enum err err = OK;
    for (int round = 0; round < 2; round++)
        for (double at_s = 0; at_s < length_s && err == OK; at_s += PIECE_S) {
            bool has_bad = holds_key(report, at_s, true);
            if (round == 0 ? !has_bad : has_bad || !holds_key(report, at_s, false))
                continue;
            if (shown++ < PIECES_MAX)
                err = print_strip(page, report, names, sent, delivered, at_s, PIECE_S);
            else
                left_out++;
        }
    if (left_out > 0)
        fprintf(page, "<p>%zu further pieces of %.0f s with keys are not shown.</p>\n", left_out, PIECE_S);
    return err;
}

static enum err print_pictures(FILE *page, const struct leak_report *report, const struct leak_names *names,
                               const struct align_signal *sent, const struct align_signal *delivered)
{
    double length_s = (double)sent->count / RATE;
    fputs("<section><h2>What was sent, what was delivered</h2>\n<p class=\"soft\">Two bright lines above "
          "each other "
          "are a key's tones. Bars mark the keys: a tall red bar means that tone is left of it.</p>\n",
          page);
    enum err err = length_s <= WHOLE_S ? print_strip(page, report, names, sent, delivered, 0, length_s)
                                       : print_pieces(page, report, names, sent, delivered);
    fputs("</section>\n", page);
    return err;
}

/* ------------------------------------------------------------------ table */

static const char *guess_word(const struct leak_key *key)
{
    if (key->is_silent)
        return "not a tone";
    if (key->is_missing)
        return "not recorded";
    return key->is_named_surely ? "knows it" : key->is_named ? "right" : "wrong";
}

static void print_row(FILE *page, const struct leak_key *key, size_t number)
{
    fprintf(page, "<tr><th scope=\"row\">%zu</th><td>%.3f</td><td>%.0f</td><td%s>%.3f</td><td>%.1f</td>",
            number, (double)key->onset / RATE, (double)(key->end - key->onset) * MS_PER_SAMPLE,
            key->leaked_ms > 0 ? " class=\"bad\"" : "", key->leaked_ms, key->floor_dbm0);
    for (size_t i = 0; i < LEAK_FREQUENCIES; i++)
        fprintf(page, "<td%s>%.0f</td>",
                key->leaked_ms > 0 && key->at_dbm0[i] > key->floor_dbm0 + STANDS_OUT_DB ? " class=\"bad\""
                                                                                        : "",
                key->at_dbm0[i]);
    fprintf(page, "<td%s>%s</td></tr>\n", key->is_named_surely ? " class=\"bad\"" : "", guess_word(key));
}

static void print_table(FILE *page, const struct leak_report *report)
{
    fputs("<section><h2>Key by key</h2><p class=\"soft\">Levels in dBm0 of what was delivered, at the eight "
          "frequencies over the key's length; background is what noise explains beside them. Attacker: the "
          "best guess "
          "of somebody who has the delivered recording and knows when each key was pressed.</p>"
          "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Table of the "
          "keys\"><table><thead><tr>"
          "<th scope=\"col\">key</th><th scope=\"col\">at, s</th><th scope=\"col\">length, ms</th>"
          "<th scope=\"col\">left, ms</th><th scope=\"col\">background</th><th scope=\"col\">697</th>"
          "<th scope=\"col\">770</th><th scope=\"col\">852</th><th scope=\"col\">941</th><th "
          "scope=\"col\">1209</th>"
          "<th scope=\"col\">1336</th><th scope=\"col\">1477</th><th scope=\"col\">1633 Hz</th>"
          "<th scope=\"col\">attacker</th></tr></thead><tbody>\n",
          page);
    size_t count = report->key_count < TABLE_MAX ? report->key_count : TABLE_MAX;
    for (size_t k = 0; k < count; k++)
        print_row(page, &report->keys[k], k + 1);
    fputs("</tbody></table></div>\n", page);
    if (count < report->key_count)
        fprintf(page, "<p>%zu further keys are in the JSON report.</p>\n", report->key_count - count);
    fputs("</section>\n", page);
}

static void print_method(FILE *page, const struct leak_report *report, const struct leak_names *names)
{
    fputs("<section><h2>How this was found</h2><p>", page);
    if (names->sent == NULL)
        fputs("Only what was delivered was at hand. Its key presses were found by listening and judged "
              "against the "
              "recording itself: whatever can be heard has leaked. ",
              page);
    else {
        fputs("The two recordings were aligned by the speech between the keys (delivered later by", page);
        for (size_t l = 0; l < report->lag_count; l++)
            fprintf(page, "%s %.3f ms", l ? "," : "", report->lags[l] * MS_PER_SAMPLE);
        fputs("). ", page);
    }
    fputs("Three judges listen, and one is enough: pieces of 1 to 50 ms that are copies of the tone; both "
          "tones standing "
          "out of the background over the key's length; an attacker who tries every key on every window of 5 "
          "to 80 ms. "
          "A leak shorter than 1 ms is not seen.</p></section>\n",
          page);
}

enum err leak_page_print(FILE *page, const struct leak_report *report, const struct leak_names *names,
                         const struct align_signal *sent, const struct align_signal *delivered)
{
    page_begin(page, "Leak report");
    print_verdict(page, report, names);
    print_tiles(page, report);
    enum err err = print_pictures(page, report, names, sent, delivered);
    if (err != OK)
        return err;
    print_table(page, report);
    print_method(page, report, names);
    page_end(page);
    return OK;
}
