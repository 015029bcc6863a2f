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
    "tonegate-bench lessons [--presses N] [--seed N] FILE DIR...\n"
    "    writes what teach_suspicion.py learns from; of the folder of --speech only every other recording\n";

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
    } commands[] = {
        {"tones", bench_tones}, {"speed", bench_speed}, {"corpus", bench_corpus}, {"lessons", bench_lessons}};
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
