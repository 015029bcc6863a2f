#include "bench/leak/leak_command.h"

#include "bench/leak/audio_file.h"
#include "bench/leak/leak.h"
#include "bench/leak/leak_page.h"
#include "bench/leak/leak_text.h"
#include "bench/page/page.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_CLEAN  0
#define EXIT_LEAKED 1
#define EXIT_INPUT  2

static const char usage[] =
    "usage: %s SENT.wav DELIVERED.wav [options]   what of the keys that were sent is left\n"
    "       %s DELIVERED.wav [options]            which key presses can be heard in it\n"
    "  --labels FILE   which keys were sent when: an Audacity label track, or JSON of the caller phone; "
    "otherwise "
    "they are\n                  found by listening\n"
    "  --channel N     of DELIVERED, counted from 1 (default 1)\n"
    "  --delay-ms MS   of DELIVERED against SENT; otherwise found by correlation\n"
    "  --classes N     keys the attacker chooses among, 12 or 16\n"
    "  --json          one JSON object instead of text\n"
    "  --html FILE     also a page with spectrograms (they show what the recordings hold: keep it as you "
    "keep them)\n"
    "Exit 0: nothing leaked. 1: something did. 2: the input cannot be judged.\n";

struct request {
    const char *program;
    struct leak_names names; /* sent is NULL when there is only what was delivered */
    const char *labels_path;
    const char *html_path;
    long channel;
    bool is_json;
    bool is_asked_for_help;
    struct leak_options options;
};

static bool take_number(const char *text, double least, double most, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out >= least && *out <= most;
}

static bool take_option(struct request *request, int option, const char *value)
{
    double number = 0;
    switch (option) {
    case 'l':
        request->labels_path = value;
        return true;
    case 'h':
        request->html_path = value;
        return true;
    case 'j':
        request->is_json = true;
        return true;
    case 'u':
        request->is_asked_for_help = true;
        return false;
    case 'c':
        if (!take_number(value, 1, AUDIO_CHANNELS_MAX, &number))
            return false;
        request->channel = (long)number;
        return true;
    case 'd':
        if (!take_number(value, -3.6e6, 3.6e6, &number))
            return false;
        request->options.has_lag = true;
        request->options.lag = (int)lround(number * 8);
        return true;
    case 'k':
        if (!take_number(value, 12, 16, &number) || (number > 12 && number < 16))
            return false;
        request->options.classes = (unsigned)number;
        return true;
    default:
        return false;
    }
}

static bool parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"labels", required_argument, NULL, 'l'},   {"html", required_argument, NULL, 'h'},
        {"json", no_argument, NULL, 'j'},           {"channel", required_argument, NULL, 'c'},
        {"delay-ms", required_argument, NULL, 'd'}, {"classes", required_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'u'},           {0},
    };
    int option;
    request->channel = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!take_option(request, option, optarg)) {
            if (option != '?' && !request->is_asked_for_help)
                fprintf(stderr, "%s: %s is not a value this option takes\n", request->program, optarg);
            return false;
        }
    if (argc - optind == 2)
        request->names = (struct leak_names){argv[optind], argv[optind + 1]};
    else if (argc - optind == 1 && request->labels_path == NULL && !request->options.has_lag)
        request->names = (struct leak_names){NULL, argv[optind]};
    else
        return false;
    return true;
}

static enum err print_page(const struct request *request, const struct leak_report *report,
                           const struct align_signal *sent, const struct align_signal *delivered)
{
    struct page_file page;
    char reason[PAGE_REASON_BYTES];
    enum err err = page_open(&page, request->html_path, reason);
    if (err == OK) {
        enum err drawn = leak_page_print(page.stream, report, &request->names, sent, delivered);
        snprintf(reason, sizeof reason, "%s: %s", request->html_path, err_str(drawn));
        err = page_close(&page, drawn == OK, reason);
        err = drawn != OK ? drawn : err;
    }
    if (err != OK)
        fprintf(stderr, "%s: %s\n", request->program, reason);
    return err;
}

static void say_why_not(const struct request *request, enum err err)
{
    if (err == ERR_NOT_FOUND)
        fprintf(stderr, "%s: %s and %s have no audio in common; say --delay-ms if they belong together\n",
                request->program, request->names.sent, request->names.delivered);
    else if (err == ERR_RANGE && request->labels_path != NULL)
        fprintf(stderr, "%s: %s: a key lies past the end of %s\n", request->program, request->labels_path,
                request->names.sent);
    else
        fprintf(stderr, "%s: %s: %s\n", request->program, request->names.delivered, err_str(err));
}

static int judge(const struct request *request, const struct align_signal *sent,
                 const struct align_signal *delivered, const struct key_labels *labels)
{
    struct leak_report report;
    enum err err = leak_judge(&report, sent, delivered, labels, &request->options);
    if (err != OK) {
        say_why_not(request, err);
        return EXIT_INPUT;
    }
    if (request->is_json)
        err = leak_print_json(stdout, &report, &request->names);
    else
        leak_print_text(stdout, &report, &request->names);
    if (err == OK && request->html_path != NULL)
        err = print_page(request, &report, sent, delivered);
    int code = err != OK ? EXIT_INPUT : report.is_leaked ? EXIT_LEAKED : EXIT_CLEAN;
    leak_report_release(&report);
    return code;
}

/* With labels or another recording that says what was sent. */
static enum err read_labels(struct key_labels *labels, const struct request *request,
                            const struct align_signal *sent, char *reason)
{
    if (request->labels_path != NULL)
        return key_labels_read(labels, request->labels_path, reason);
    enum err err = key_labels_find(labels, sent->samples, sent->count);
    if (err == OK && labels->count == 0 && request->names.sent != NULL) {
        snprintf(reason, AUDIO_REASON_BYTES, "%s: no key was found in it; say --labels", request->names.sent);
        key_labels_release(labels);
        return ERR_NOT_FOUND;
    }
    return err;
}

static enum err read_audio(const struct request *request, struct audio **sent, struct audio **delivered,
                           char *reason)
{
    enum err err = OK;
    if (request->names.sent != NULL)
        err = audio_read(sent, request->names.sent, reason);
    if (err == OK)
        err = audio_read(delivered, request->names.delivered, reason);
    if (err == OK && (size_t)request->channel > (*delivered)->channel_count) {
        snprintf(reason, AUDIO_REASON_BYTES, "%s: has no channel %ld", request->names.delivered,
                 request->channel);
        err = ERR_RANGE;
    }
    return err;
}

int leak_command(const char *name, int argc, char **argv)
{
    struct request request = {.program = name};
    if (!parse(&request, argc, argv)) {
        fprintf(request.is_asked_for_help ? stdout : stderr, usage, name, name);
        return request.is_asked_for_help ? EXIT_CLEAN : EXIT_INPUT;
    }
    char reason[AUDIO_REASON_BYTES] = "not enough memory";
    struct audio *sent = NULL;
    struct audio *delivered = NULL;
    struct key_labels labels = {0};
    int code = EXIT_INPUT;
    enum err err = read_audio(&request, &sent, &delivered, reason);
    if (err == OK) {
        struct align_signal after = {delivered->channel[request.channel - 1], delivered->sample_count};
        struct align_signal before = after;
        if (sent != NULL)
            before = (struct align_signal){sent->channel[0], sent->sample_count};
        else
            request.options.has_lag = true; /* of 0: it is judged against itself */
        err = read_labels(&labels, &request, &before, reason);
        if (err == OK)
            code = judge(&request, &before, &after, &labels);
    }
    if (err != OK)
        fprintf(stderr, "%s: %s\n", name, reason);
    key_labels_release(&labels);
    audio_free(delivered);
    audio_free(sent);
    return code;
}
