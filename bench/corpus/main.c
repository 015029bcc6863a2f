#include "bench/corpus/bench.h"

#include "testvectors/speech.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "tonegate-bench tones  [--presses N] [--seed N] [--speech DIR] [--cell NAME] [--json]\n"
    "    grids of generated keys through the armed path: heard, wrong, latency, leaked; SpanDSP beside\n"
    "tonegate-bench speed  [--speech DIR] [--json]\n"
    "    ns per sample and channels per core of every face, SpanDSP beside\n"
    "tonegate-bench corpus [--json] DIR...\n"
    "    recordings without keys: false digits per hour, share of speech masked\n"
    "tonegate-bench watch  [--presses N] [--seed N] [--json] [DIR...]\n"
    "    the watch on what is delivered: keys and remains it hears where nothing masks, false alarms on "
    "recordings\n"
    "tonegate-bench noise  [--seed N] [--speech DIR] [--cell NAME] [--json]\n"
    "    how far the noise in place of the caller is from the background it stands for\n";

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"json", no_argument, NULL, 'j'},
        {"seed", required_argument, NULL, 's'},
        {"presses", required_argument, NULL, 'n'},
        {"speech", required_argument, NULL, 'd'},
        {"cell", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    static const struct {
        const char *name;
        int (*run)(const struct bench_options *options);
    } commands[] = {{"tones", bench_tones},
                    {"speed", bench_speed},
                    {"corpus", bench_corpus},
                    {"watch", bench_watch},
                    {"noise", bench_noise}};
    struct bench_options options = {.seed = 1, .presses = 2000, .speech = SPEECH_PROMPTS};
    int letter;
    while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (letter == 'j')
            options.is_json = true;
        else if (letter == 's')
            options.seed = strtoull(optarg, NULL, 10);
        else if (letter == 'n')
            options.presses = strtoull(optarg, NULL, 10);
        else if (letter == 'd')
            options.speech = optarg;
        else if (letter == 'c')
            options.cell = optarg;
        else {
            fputs(usage, letter == 'h' ? stdout : stderr);
            return letter == 'h' ? 0 : 2;
        }
    }
    if (options.presses == 0 || options.presses > 10000000 || optind >= argc) {
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
