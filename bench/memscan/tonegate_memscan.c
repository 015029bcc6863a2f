/* tonegate-memscan: is a card in the memory of these processes?
 *
 * The card comes on standard input, never on the command line, where every user could read it:
 *   card 4242424242424242
 *   expiry 1228
 *   cvv 123
 * Exit 0: nothing found; 1: something found; 2: could not look. */
#include "base/clock.h"
#include "base/secret.h"
#include "bench/memscan/listen.h"
#include "bench/memscan/look.h"
#include "bench/memscan/target.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FINDS       (LOOK_CLASSES + LISTEN_ENCODINGS)
#define PLACES_MAX  8
#define PLACE_BYTES 96

struct card {
    uint8_t number[LOOK_DIGITS_MAX], expiry[8], cvv[8];
    size_t number_count, expiry_count, cvv_count;
};

struct options {
    bool has_json, has_all, is_deaf;
    unsigned partial;
};

struct report {
    pid_t pid;
    char name[TARGET_NAME_BYTES];
    uint64_t bytes, hidden_bytes, keys_heard, finds;
    uint64_t found[FINDS];
    char places[PLACES_MAX][PLACE_BYTES];
    size_t place_count;
    double seconds;
};

static void take_digits(const char *text, uint8_t *digits, size_t capacity, size_t *count)
{
    *count = 0;
    for (; *text && *count < capacity; text++) {
        if (*text >= '0' && *text <= '9')
            digits[(*count)++] = (uint8_t)(*text - '0');
    }
}

/* Unbuffered, so that no copy stays in the C library. */
static void read_card(struct card *card)
{
    char text[512];
    size_t length = 0;
    ssize_t got;
    while (length < sizeof(text) - 1 &&
           (got = read(STDIN_FILENO, text + length, sizeof(text) - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = 0;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (strncmp(line, "card ", 5) == 0)
            take_digits(line + 5, card->number, sizeof(card->number), &card->number_count);
        else if (strncmp(line, "expiry ", 7) == 0)
            take_digits(line + 7, card->expiry, sizeof(card->expiry), &card->expiry_count);
        else if (strncmp(line, "cvv ", 4) == 0)
            take_digits(line + 4, card->cvv, sizeof(card->cvv), &card->cvv_count);
    }
    wipe(text, sizeof(text));
}

static size_t join(uint8_t *out, const uint8_t *a, size_t a_count, const uint8_t *b, size_t b_count)
{
    memcpy(out, a, a_count);
    memcpy(out + a_count, b, b_count);
    return a_count + b_count;
}

static enum err make_tools(const struct card *card, const struct options *options, struct look **look,
                           struct listen **listen)
{
    uint8_t rest[16], keyed[LOOK_DIGITS_MAX + 16];
    *look = NULL;
    *listen = NULL;
    enum err err = look_new(look, options->partial);
    if (!err)
        err = look_add(*look, card->number, card->number_count, true);
    size_t rest_count = join(rest, card->expiry, card->expiry_count, card->cvv, card->cvv_count);
    if (!err && rest_count >= LOOK_DIGITS_MIN)
        err = look_add(*look, rest, rest_count, false);
    size_t keyed_count = join(keyed, card->number, card->number_count, rest, rest_count);
    if (!err && !options->is_deaf)
        err = listen_new(listen, keyed, keyed_count);
    wipe(rest, sizeof(rest));
    wipe(keyed, sizeof(keyed));
    return err;
}

static void note_place(struct report *report, const char *mapping)
{
    for (size_t i = 0; i < report->place_count; i++) {
        if (strcmp(report->places[i], mapping) == 0)
            return;
    }
    if (report->place_count < PLACES_MAX)
        snprintf(report->places[report->place_count++], PLACE_BYTES, "%.*s", PLACE_BYTES - 1, mapping);
}

static uint64_t sum(const uint64_t *found, size_t count)
{
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++)
        all += found[i];
    return all;
}

static enum err scan(pid_t pid, const struct options *options, const struct look *look, struct listen *listen,
                     struct report *report)
{
    struct target *target;
    struct target_piece piece;
    struct mono_time start = mono_now();
    uint64_t heard_before[LISTEN_ENCODINGS] = {0}, keys_before[LISTEN_ENCODINGS] = {0};
    *report = (struct report){.pid = pid};
    enum err err = target_open(&target, pid, options->has_all);
    if (err)
        return err;
    snprintf(report->name, sizeof(report->name), "%s", target_name(target));
    if (listen)
        listen_found(listen, heard_before, keys_before);
    while (target_next(target, &piece) == OK) {
        uint64_t before = sum(report->found, FINDS);
        look_at(look, piece.bytes, piece.length, piece.own_length, report->found);
        if (listen) {
            uint64_t heard[LISTEN_ENCODINGS], keys[LISTEN_ENCODINGS];
            if (piece.is_new)
                listen_begin(listen);
            listen_to(listen, piece.bytes, piece.own_length);
            listen_found(listen, heard, keys);
            for (int i = 0; i < LISTEN_ENCODINGS; i++)
                report->found[LOOK_CLASSES + i] = heard[i] - heard_before[i];
            report->keys_heard = sum(keys, LISTEN_ENCODINGS) - sum(keys_before, LISTEN_ENCODINGS);
        }
        report->bytes += piece.own_length;
        if (sum(report->found, FINDS) != before)
            note_place(report, piece.mapping);
    }
    report->hidden_bytes = target_hidden_bytes(target);
    report->finds = sum(report->found, FINDS);
    report->seconds = (double)(mono_now().ns - start.ns) / (double)NS_PER_S;
    target_close(target);
    return OK;
}

static const char *find_name(int find)
{
    return find < LOOK_CLASSES ? look_class_name(find) : listen_encoding_name(find - LOOK_CLASSES);
}

static void print_text(const struct report *report)
{
    printf("%d %s: %.1f MB scanned in %.2f s (%.0f MB/s), %.1f KB hidden, %llu finds\n", (int)report->pid,
           report->name, (double)report->bytes / 1e6, report->seconds,
           (double)report->bytes / 1e6 / (report->seconds > 0 ? report->seconds : 1),
           (double)report->hidden_bytes / 1e3, (unsigned long long)report->finds);
    for (int i = 0; i < FINDS; i++) {
        if (report->found[i])
            printf("  %s: %llu\n", find_name(i), (unsigned long long)report->found[i]);
    }
    for (size_t i = 0; i < report->place_count; i++)
        printf("  in %s\n", report->places[i]);
}

/* Names of programs and mappings may hold anything. */
static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            printf("\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            printf("\\u%04x", (unsigned)(unsigned char)*text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void print_json(const struct report *report, bool is_first)
{
    printf("%s{\"pid\":%d,\"name\":", is_first ? "" : ",", (int)report->pid);
    print_json_text(report->name);
    printf(
        ",\"bytes_scanned\":%llu,\"bytes_hidden\":%llu,\"seconds\":%.3f,\"keys_heard\":%llu,\"finds\":%llu",
        (unsigned long long)report->bytes, (unsigned long long)report->hidden_bytes, report->seconds,
        (unsigned long long)report->keys_heard, (unsigned long long)report->finds);
    printf(",\"classes\":{");
    bool has_one = false;
    for (int i = 0; i < FINDS; i++) {
        if (!report->found[i])
            continue;
        printf("%s\"%s\":%llu", has_one ? "," : "", find_name(i), (unsigned long long)report->found[i]);
        has_one = true;
    }
    printf("},\"places\":[");
    for (size_t i = 0; i < report->place_count; i++) {
        if (i > 0)
            putchar(',');
        print_json_text(report->places[i]);
    }
    printf("]}");
}

static void usage(void)
{
    fputs("usage: tonegate-memscan [--json] [--partial N] [--deaf] [--all] PID...\n"
          "Reads the card from standard input, one line each: card N, expiry MMYY, cvv N.\n"
          "  --partial N  also report N (6 or more) successive digits of the number\n"
          "  --deaf       do not listen\n"
          "  --all        also files mapped read-only\n"
          "Exit 0: nothing found, 1: found, 2: could not look.\n",
          stderr);
}

static bool read_options(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {{"json", no_argument, NULL, 'j'},
                                          {"partial", required_argument, NULL, 'p'},
                                          {"deaf", no_argument, NULL, 'd'},
                                          {"all", no_argument, NULL, 'a'},
                                          {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'j')
            options->has_json = true;
        else if (option == 'd')
            options->is_deaf = true;
        else if (option == 'a')
            options->has_all = true;
        else if (option == 'p')
            options->partial = (unsigned)strtoul(optarg, NULL, 10);
        else
            return false;
    }
    return optind < argc && (options->partial == 0 || options->partial >= LOOK_DIGITS_MIN);
}

static int scan_all(char **pids, const struct options *options, const struct look *look,
                    struct listen *listen)
{
    int result = 0;
    bool is_first = true;
    uint64_t bytes = 0, finds = 0;
    if (options->has_json)
        printf("{\"processes\":[");
    for (; *pids; pids++) {
        struct report report;
        enum err err = scan((pid_t)strtol(*pids, NULL, 10), options, look, listen, &report);
        if (err) {
            fprintf(stderr, "tonegate-memscan: process %s: %s\n", *pids, err_str(err));
            result = 2;
            continue;
        }
        bytes += report.bytes;
        finds += report.finds;
        if (options->has_json)
            print_json(&report, is_first);
        else
            print_text(&report);
        is_first = false;
    }
    if (options->has_json)
        printf("],\"bytes_scanned\":%llu,\"finds\":%llu}\n", (unsigned long long)bytes,
               (unsigned long long)finds);
    return result ? result : finds > 0;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct card card = {0};
    struct look *look = NULL;
    struct listen *listen = NULL;
    if (!read_options(argc, argv, &options)) {
        usage();
        return 2;
    }
    read_card(&card);
    enum err err = make_tools(&card, &options, &look, &listen);
    wipe(&card, sizeof(card));
    int result = 2;
    if (err)
        fprintf(stderr, "tonegate-memscan: the card on standard input: %s\n", err_str(err));
    else
        result = scan_all(argv + optind, &options, look, listen);
    look_free(look);
    listen_free(listen);
    return result;
}
