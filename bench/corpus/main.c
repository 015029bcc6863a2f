#include "bench/corpus/bench.h"

#include "testvectors/speech.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "tonegate-bench tones  [--presses N] [--seed N] [--speech DIR] [--cell NAME] [--json] [--html FILE]\n"
    "    grids of generated keys through the armed path: heard, wrong, latency, leaked; SpanDSP beside\n"
    "tonegate-bench speed  [--speech DIR] [--json]\n"
    "    ns per sample and channels per core of every face, SpanDSP beside\n"
    "tonegate-bench corpus [--channel N] [--state FILE | --no-state] [--json] [--html FILE] DIR...\n"
    "    recordings, with labels or without: heard, missed, wrong, doubled and false keys, latency, leaks, "
    "speech masked.\n"
    "    Labels lie beside a recording NAME.wav: NAME.txt (Audacity label track), NAME.tsv, or one "
    "labels.tsv for a DIR.\n"
    "    Stopped (Ctrl-C), the same command goes on: what is done is in FILE, or in ./tonegate-corpus.state "
    "until all is.\n"
    "tonegate-bench watch  [--presses N] [--seed N] [--json] [DIR...]\n"
    "    the watch on what is delivered: keys and remains it hears where nothing masks, false alarms on "
    "recordings\n"
    "tonegate-bench noise  [--seed N] [--speech DIR] [--cell NAME] [--json]\n"
    "    how far the noise in place of the caller is from the background it stands for\n"
    "tonegate-bench lessons [--presses N] [--seed N] FILE DIR...\n"
    "    writes what teach_suspicion.py learns from; of the folder of --speech only every other recording\n"
    "Exit 0: done. 2: a file or the command line is wrong; other files were judged. 130: stopped.\n";

static bool take_count(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0 && *out <= most;
}

static bool take_option(struct bench_options *options, int letter, const char *value)
{
    uint64_t number = 0;
    switch (letter) {
    case 'j':
        options->is_json = true;
        return true;
    case 's':
        return take_count(value, UINT64_MAX, &options->seed);
    case 'n':
        if (!take_count(value, 10000000, &number) || number == 0)
            return false;
        options->presses = (size_t)number;
        return true;
    case 'd':
        options->speech = value;
        return true;
    case 'c':
        options->cell = value;
        return true;
    case 'w':
        options->html = value;
        return true;
    case 'f':
        options->state = value;
        return true;
    case 'o':
        options->is_stateless = true;
        return true;
    case 'k':
        if (!take_count(value, 32, &number) || number == 0)
            return false;
        options->channel = (unsigned)number;
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"json", no_argument, NULL, 'j'},
        {"seed", required_argument, NULL, 's'},
        {"presses", required_argument, NULL, 'n'},
        {"speech", required_argument, NULL, 'd'},
        {"cell", required_argument, NULL, 'c'},
        {"html", required_argument, NULL, 'w'},
        {"state", required_argument, NULL, 'f'},
        {"no-state", no_argument, NULL, 'o'},
        {"channel", required_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    static const struct {
        const char *name;
        int (*run)(const struct bench_options *options);
    } commands[] = {{"tones", bench_tones}, {"speed", bench_speed}, {"corpus", bench_corpus},
                    {"watch", bench_watch}, {"noise", bench_noise}, {"lessons", bench_lessons}};
    struct bench_options options = {.seed = 1, .presses = 2000, .speech = SPEECH_PROMPTS, .channel = 1};
    int letter;
    while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (letter == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (!take_option(&options, letter, optarg)) {
            if (letter != '?')
                fprintf(stderr, "tonegate-bench: %s is not a value this option takes\n", optarg);
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind >= argc) {
        fputs(usage, stderr);
        return 2;
    }
    options.paths = argv + optind + 1;
    options.path_count = (size_t)(argc - optind - 1);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[optind], commands[i].name) == 0)
            return commands[i].run(&options);
    }
    fprintf(stderr, "tonegate-bench: no such command: %s\n%s", argv[optind], usage);
    return 2;
}
