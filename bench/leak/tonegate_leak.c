/* tonegate-leak: what of the keys in one recording is left in another. Exit 0 nothing, 1 leaked, 2 bad input. */
#include "bench/leak/audio_file.h"
#include "bench/leak/leak.h"
#include "bench/leak/leak_text.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_CLEAN  0
#define EXIT_LEAKED 1
#define EXIT_INPUT  2

static const char usage[] = "usage: tonegate-leak SENT.wav DELIVERED.wav [options]\n"
                            "  --labels FILE   which keys were sent when (JSON of the caller phone); "
                            "otherwise they are found by listening\n"
                            "  --channel N     of DELIVERED, counted from 1 (default 1)\n"
                            "  --delay-ms MS   of DELIVERED against SENT; otherwise found by correlation\n"
                            "  --classes N     keys the attacker chooses among, 12 or 16\n"
                            "  --json          one JSON object instead of text\n"
                            "  --html FILE     also a page with spectrograms\n"
                            "Exit 0: nothing leaked. 1: something did. 2: the input cannot be judged.\n";

struct request {
    struct leak_names names;
    const char *labels_path;
    const char *html_path;
    long channel;
    bool is_json;
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
        {"labels", required_argument, NULL, 'l'},
        {"html", required_argument, NULL, 'h'},
        {"json", no_argument, NULL, 'j'},
        {"channel", required_argument, NULL, 'c'},
        {"delay-ms", required_argument, NULL, 'd'},
        {"classes", required_argument, NULL, 'k'},
        {0},
    };
    int option;
    request->channel = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!take_option(request, option, optarg)) {
            if (option != '?')
                fprintf(stderr, "tonegate-leak: %s is not a value this option takes\n", optarg);
            return false;
        }
    if (argc - optind != 2)
        return false;
    request->names = (struct leak_names){argv[optind], argv[optind + 1]};
    return true;
}

static enum err print_page(const struct request *request, const struct leak_report *report,
                           const struct align_signal *sent, const struct align_signal *delivered)
{
    FILE *page = fopen(request->html_path, "w");
    if (page == NULL) {
        fprintf(stderr, "tonegate-leak: %s: %m\n", request->html_path);
        return ERR_SYSTEM;
    }
    enum err err = leak_print_html(page, report, &request->names, sent, delivered);
    if (fclose(page) != 0 && err == OK)
        err = ERR_SYSTEM;
    return err;
}

static int judge(const struct request *request, const struct audio *sent_audio,
                 const struct audio *delivered_audio, const struct key_labels *labels)
{
    struct align_signal sent = {sent_audio->channel[0], sent_audio->sample_count};
    struct align_signal delivered = {delivered_audio->channel[request->channel - 1],
                                     delivered_audio->sample_count};
    struct leak_report report;
    enum err err = leak_judge(&report, &sent, &delivered, labels, &request->options);
    if (err == ERR_NOT_FOUND)
        fprintf(stderr,
                "tonegate-leak: %s and %s have no audio in common; say --delay-ms if they belong together\n",
                request->names.sent, request->names.delivered);
    else if (err == ERR_RANGE)
        fprintf(stderr, "tonegate-leak: %s: a key lies past the end of %s\n", request->labels_path,
                request->names.sent);
    else if (err != OK)
        fprintf(stderr, "tonegate-leak: %s\n", err_str(err));
    if (err != OK)
        return EXIT_INPUT;
    if (request->is_json)
        err = leak_print_json(stdout, &report, &request->names);
    else
        leak_print_text(stdout, &report, &request->names);
    if (err == OK && request->html_path != NULL)
        err = print_page(request, &report, &sent, &delivered);
    int code = err != OK ? EXIT_INPUT : report.is_leaked ? EXIT_LEAKED : EXIT_CLEAN;
    leak_report_release(&report);
    return code;
}

static enum err read_labels(struct key_labels *labels, const struct request *request,
                            const struct audio *sent, char *reason)
{
    if (request->labels_path != NULL)
        return key_labels_read(labels, request->labels_path, reason);
    enum err err = key_labels_find(labels, sent->channel[0], sent->sample_count);
    if (err == OK && labels->count == 0) {
        snprintf(reason, AUDIO_REASON_BYTES, "%s: no key was found in it; say --labels", request->names.sent);
        key_labels_release(labels);
        return ERR_NOT_FOUND;
    }
    return err;
}

int main(int argc, char **argv)
{
    struct request request = {0};
    if (!parse(&request, argc, argv)) {
        fputs(usage, stderr);
        return EXIT_INPUT;
    }
    char reason[AUDIO_REASON_BYTES] = "";
    struct audio *sent = NULL;
    struct audio *delivered = NULL;
    struct key_labels labels = {0};
    int code = EXIT_INPUT;
    enum err err = audio_read(&sent, request.names.sent, reason);
    if (err == OK)
        err = audio_read(&delivered, request.names.delivered, reason);
    if (err == OK && (size_t)request.channel > delivered->channel_count) {
        snprintf(reason, sizeof reason, "%s: has no channel %ld", request.names.delivered, request.channel);
        err = ERR_RANGE;
    }
    if (err == OK)
        err = read_labels(&labels, &request, sent, reason);
    if (err == OK)
        code = judge(&request, sent, delivered, &labels);
    else
        fprintf(stderr, "tonegate-leak: %s\n", reason);
    key_labels_release(&labels);
    audio_free(delivered);
    audio_free(sent);
    return code;
}
