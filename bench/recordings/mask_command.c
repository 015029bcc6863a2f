#include "bench/recordings/mask_command.h"

#include "base/clock.h"
#include "bench/recordings/folder_list.h"
#include "bench/recordings/json_text.h"
#include "bench/recordings/mask_file.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_STILL_HEARD 1
#define EXIT_INPUT       2
#define FOREVER_S        1e12

static const char usage[] =
    "usage: tonegate mask IN OUT [options]\n"
    "  IN OUT            two files, or two folders: every recording below IN, to the same place below OUT. "
    "What is in OUT\n"
    "                    already is never overwritten; a file that cannot be masked does not stop the "
    "others\n"
    "  --lookahead-ms N  1 to 100 (default 20): how much later than its tone a suspicion may come\n"
    "  --mode MODE       noise (default): comfort noise in place of keys; beep: and the same beep for each "
    "key;\n"
    "                    mute: nothing of the recording between --from-s and --to-s\n"
    "  --from-s S, --to-s S  a field is being keyed from here to there: the strictest ear, and what mute "
    "mutes.\n"
    "                    Otherwise from start to end. Keys are masked outside, too\n"
    "  --engine NAME     who recognises keys for the beep and the count: own (default) or spandsp\n"
    "  --raw LAW         IN has no header: ulaw or alaw, mono, 8000 Hz (known from .ulaw .ul .pcmu .alaw .al "
    ".pcma)\n"
    "  --skip-existing   in folders: pass over what is in OUT already, to go on after an interruption\n"
    "  --json            one JSON object a line and file, with the spans that were masked\n"
    "OUT has the rate, channels and encoding of IN, and its samples where nothing is masked. The first 14 ms "
    "are always.\n"
    "Exit 0: done. 1: done, but SpanDSP's ear heard a key in what was delivered. 2: something could not be "
    "masked.\n";

struct request {
    const char *in;
    const char *out;
    enum sound_raw raw;
    bool is_json;
    bool is_skipping;
    struct mask_channel_options options;
};

/* What is on the screen, and how far the whole is. */
struct progress {
    bool is_terminal;
    bool is_drawn;
    const char *name;
    size_t number;
    size_t count;
    struct mono_time begun;
};

struct tally {
    size_t masked;
    size_t skipped;
    size_t failed;
    size_t still_heard;
};

/* ------------------------------------------------------------------ command line */

static bool take_word(const char *value, const char *const *words, int word_count, int *out)
{
    for (int i = 0; i < word_count; i++)
        if (strcmp(value, words[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static bool take_number(const char *text, double least, double most, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out >= least && *out <= most;
}

static bool take_option(struct request *request, int option, const char *value)
{
    static const char *const modes[] = {"noise", "beep", "mute"};
    static const char *const engines[] = {"own", "spandsp"};
    static const char *const laws[] = {"ulaw", "alaw"};
    double number = 0;
    int word = 0;
    bool is_good = true;
    switch (option) {
    case 'l':
        is_good = take_number(value, 1, 100, &number) && number == floor(number);
        request->options.lookahead_ms = (unsigned)number;
        return is_good;
    case 'm':
        is_good = take_word(value, modes, 3, &word);
        request->options.mode = (enum mask_mode)word;
        return is_good;
    case 'e':
        is_good = take_word(value, engines, 2, &word);
        request->options.engine = word ? MASK_ENGINE_SPANDSP : MASK_ENGINE_OWN;
        return is_good;
    case 'r':
        is_good = take_word(value, laws, 2, &word);
        request->raw = word ? SOUND_RAW_ALAW : SOUND_RAW_ULAW;
        return is_good;
    case 'f':
        return take_number(value, 0, FOREVER_S, &request->options.from_s);
    case 't':
        return take_number(value, 0, FOREVER_S, &request->options.to_s);
    case 's':
        request->is_skipping = true;
        return true;
    case 'j':
        request->is_json = true;
        return true;
    default:
        return false;
    }
}

/* 0: go on; otherwise the exit code plus 1. */
static int parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"lookahead-ms", required_argument, NULL, 'l'},
        {"mode", required_argument, NULL, 'm'},
        {"engine", required_argument, NULL, 'e'},
        {"raw", required_argument, NULL, 'r'},
        {"from-s", required_argument, NULL, 'f'},
        {"to-s", required_argument, NULL, 't'},
        {"skip-existing", no_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int option;
    *request = (struct request){.options = {.lookahead_ms = 20, .to_s = FOREVER_S}};
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return 1;
        }
        if (!take_option(request, option, optarg)) {
            if (option != '?')
                fprintf(stderr, "tonegate mask: %s is not a value this option takes\n", optarg);
            fputs(usage, stderr);
            return EXIT_INPUT + 1;
        }
    }
    if (argc - optind != 2 || request->options.from_s >= request->options.to_s) {
        fputs(usage, stderr);
        return EXIT_INPUT + 1;
    }
    request->in = argv[optind];
    request->out = argv[optind + 1];
    return 0;
}

/* ------------------------------------------------------------------ what is said */

static void erase(struct progress *progress)
{
    if (progress->is_drawn)
        fputs("\r\033[K", stderr);
    progress->is_drawn = false;
}

static void draw(void *owner, double share)
{
    struct progress *progress = owner;
    if (!progress->is_terminal)
        return;
    fprintf(stderr, "\r\033[K[%zu/%zu] %3.0f %%  %s", progress->number, progress->count, share * 100,
            progress->name);
    progress->is_drawn = true;
}

static void print_channel(const struct mask_channel_report *report)
{
    printf("{\"masked_ms\":%llu,\"keys\":%u,\"keys_heard_after\":%u,\"spans_ms\":[",
           (unsigned long long)report->masked_ms, report->keys, report->keys_after);
    for (size_t s = 0; s < report->span_count; s++)
        printf("%s[%llu,%llu]", s ? "," : "", (unsigned long long)report->spans[s].from_ms,
               (unsigned long long)report->spans[s].to_ms);
    printf("]}");
}

static void print_json(const struct request *request, const char *in, const char *out,
                       const struct mask_file_result *result, const char *error)
{
    static const char *const modes[] = {"noise", "beep", "mute"};
    printf("{\"in\":");
    json_text_print(stdout, in);
    printf(",\"out\":");
    json_text_print(stdout, out);
    if (error != NULL) {
        printf(",\"error\":");
        json_text_print(stdout, error);
    } else {
        printf(",\"rate\":%u,\"frames\":%llu,\"mode\":\"%s\",\"lookahead_ms\":%u,\"channels\":[",
               result->format.rate, (unsigned long long)result->format.frames, modes[request->options.mode],
               request->options.lookahead_ms);
        for (unsigned c = 0; c < result->format.channels; c++) {
            fputs(c ? "," : "", stdout);
            print_channel(&result->channels[c]);
        }
        printf("]");
    }
    printf("}\n");
    fflush(stdout);
}

static void print_people(const struct progress *progress, const char *out,
                         const struct mask_file_result *result)
{
    double masked_s = 0;
    unsigned keys = 0;
    double length_s = (double)result->format.frames / result->format.rate;
    for (unsigned c = 0; c < result->format.channels; c++) {
        masked_s += (double)result->channels[c].masked_ms / 1000;
        keys += result->channels[c].keys;
    }
    fprintf(stderr, "[%zu/%zu] %s: %.1f s, %u channel%s, %u keys, %.2f s masked", progress->number,
            progress->count, out, length_s, result->format.channels, result->format.channels == 1 ? "" : "s",
            keys, masked_s);
    double spent_s = (double)mono_elapsed_ms(progress->begun, mono_now()) / 1000;
    if (progress->number < progress->count && spent_s > 2)
        fprintf(stderr, "; about %.0f s to go",
                spent_s / (double)progress->number * (double)(progress->count - progress->number));
    fputc('\n', stderr);
}

/* ------------------------------------------------------------------ files */

static bool is_still_heard(const struct mask_file_result *result)
{
    for (unsigned c = 0; c < result->format.channels; c++)
        if (result->channels[c].keys_after > 0)
            return true;
    return false;
}

static void mask_one(const struct request *request, const char *in, const char *out,
                     struct progress *progress, struct tally *tally)
{
    static struct mask_file_result result;
    char reason[MASK_FILE_REASON_BYTES];
    struct mask_file_job job = {.in = in,
                                .out = out,
                                .raw =
                                    request->raw != SOUND_HAS_HEADER ? request->raw : sound_raw_of_name(in),
                                .options = request->options,
                                .progress_h = draw,
                                .owner = progress};
    progress->name = in;
    enum err err = mask_file(&job, &result, reason);
    erase(progress);
    if (request->is_json)
        print_json(request, in, out, &result, err ? reason : NULL);
    if (err) {
        fprintf(stderr, "tonegate mask: %s\n", reason);
        tally->failed++;
    } else {
        tally->masked++;
        print_people(progress, out, &result);
        if (is_still_heard(&result)) {
            tally->still_heard++;
            fprintf(stderr, "tonegate mask: %s: a key may still be heard in it; listen, or use --mode mute\n",
                    out);
        }
    }
    mask_file_release(&result);
}

/* The folders above a file, as far as they are not there. */
static enum err make_folders(char *path)
{
    for (char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        int failed = mkdir(path, 0777);
        *at = '/';
        if (failed && errno != EEXIST)
            return ERR_SYSTEM;
    }
    return OK;
}

static void mask_below(const struct request *request, const char *name, struct progress *progress,
                       struct tally *tally)
{
    char in[PATH_MAX];
    char out[PATH_MAX];
    struct stat status;
    if (snprintf(in, sizeof in, "%s/%s", request->in, name) >= (int)sizeof in ||
        snprintf(out, sizeof out, "%s/%s", request->out, name) >= (int)sizeof out) {
        fprintf(stderr, "tonegate mask: %s: the name is too long\n", name);
        tally->failed++;
    } else if (request->is_skipping && lstat(out, &status) == 0) {
        tally->skipped++;
    } else if (make_folders(out)) {
        fprintf(stderr, "tonegate mask: %s: its folder cannot be made: %m\n", out);
        tally->failed++;
    } else {
        mask_one(request, in, out, progress, tally);
    }
}

/* Masked recordings must not be found below IN the next time. */
static bool is_below(const char *inner, const char *outer)
{
    char inner_path[PATH_MAX];
    char outer_path[PATH_MAX];
    if (realpath(outer, outer_path) == NULL || realpath(inner, inner_path) == NULL)
        return false;
    size_t length = strlen(outer_path);
    return strncmp(inner_path, outer_path, length) == 0 &&
           (inner_path[length] == '\0' || inner_path[length] == '/' || length == 1);
}

static int mask_folder(const struct request *request, struct progress *progress, struct tally *tally)
{
    struct folder_list list;
    if (mkdir(request->out, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "tonegate mask: %s: %m\n", request->out);
        return EXIT_INPUT;
    }
    if (is_below(request->out, request->in)) {
        fprintf(stderr, "tonegate mask: %s lies in %s: choose a folder outside of it\n", request->out,
                request->in);
        rmdir(request->out); /* only if it is empty */
        return EXIT_INPUT;
    }
    enum err err = folder_list_read(&list, request->in);
    if (err || list.count == 0) {
        fprintf(stderr, "tonegate mask: %s: %s\n", request->in,
                !err                ? "holds no recordings"
                : err == ERR_SYSTEM ? strerror(errno)
                                    : err_str(err));
        folder_list_release(&list);
        return EXIT_INPUT;
    }
    progress->count = list.count;
    for (size_t i = 0; i < list.count; i++) {
        progress->number = i + 1;
        mask_below(request, list.names[i], progress, tally);
    }
    fprintf(stderr, "%zu masked, %zu failed, %zu there already, %zu other files left alone\n", tally->masked,
            tally->failed, tally->skipped, list.other_count);
    folder_list_release(&list);
    return 0;
}

int mask_command(int argc, char **argv)
{
    struct request request;
    struct tally tally = {0};
    struct progress progress = {
        .is_terminal = isatty(STDERR_FILENO), .number = 1, .count = 1, .begun = mono_now()};
    struct stat status;
    int code = parse(&request, argc, argv);
    if (code != 0)
        return code - 1;
    if (stat(request.in, &status) != 0 && strcmp(request.in, "-") != 0) {
        fprintf(stderr, "tonegate mask: %s: %m\n", request.in);
        return EXIT_INPUT;
    }
    if (strcmp(request.in, "-") != 0 && S_ISDIR(status.st_mode))
        code = mask_folder(&request, &progress, &tally);
    else
        mask_one(&request, request.in, request.out, &progress, &tally);
    if (ferror(stdout) || fflush(stdout) != 0) {
        fprintf(stderr, "tonegate mask: standard output: %m\n");
        code = EXIT_INPUT;
    }
    if (code == 0 && tally.failed > 0)
        return EXIT_INPUT;
    return code == 0 && tally.still_heard > 0 ? EXIT_STILL_HEARD : code;
}
