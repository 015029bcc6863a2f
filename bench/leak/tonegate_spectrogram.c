/* tonegate-spectrogram: draws a recording. Exit 0 drawn, 2 bad input. */
#include "bench/leak/audio_file.h"
#include "bench/leak/spectrogram.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] = "usage: tonegate-spectrogram IN.wav OUT.png [--channel N] [--from-s S] "
                            "[--length-s S] [--width N] [--height N]\n";

struct request {
    const char *in;
    const char *out;
    unsigned channel;
    bool has_length;
    struct spectrogram_options options;
};

static bool parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"channel", required_argument, NULL, 'c'},  {"from-s", required_argument, NULL, 'f'},
        {"length-s", required_argument, NULL, 'l'}, {"width", required_argument, NULL, 'w'},
        {"height", required_argument, NULL, 'h'},   {0},
    };
    *request = (struct request){.channel = 1, .options = {1600, 180, 0, 1, 0, -70}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;
        double value = option == '?' ? 0 : strtod(optarg, &end);
        if (option == '?' || end == optarg || *end != '\0')
            return false;
        switch (option) {
        case 'c':
            request->channel = value >= 1 && value <= AUDIO_CHANNELS_MAX ? (unsigned)value : 0;
            break;
        case 'f':
            request->options.from_s = value;
            break;
        case 'l':
            request->options.length_s = value;
            request->has_length = true;
            break;
        case 'w':
            request->options.width = value >= 16 && value <= 8192 ? (unsigned)value : 0;
            break;
        default:
            request->options.height = value >= 16 && value <= 1024 ? (unsigned)value : 0;
        }
    }
    if (argc - optind != 2)
        return false;
    request->in = argv[optind];
    request->out = argv[optind + 1];
    return true;
}

static enum err draw(struct request *request, const struct audio *audio, char *reason)
{
    unsigned char *png = NULL;
    size_t bytes = 0;
    if (request->channel < 1 || request->channel > audio->channel_count) {
        snprintf(reason, AUDIO_REASON_BYTES, "%s: has no such channel", request->in);
        return ERR_RANGE;
    }
    if (!request->has_length)
        request->options.length_s = (double)audio->sample_count / AUDIO_RATE - request->options.from_s;
    enum err err = spectrogram_png(audio->channel[request->channel - 1], audio->sample_count,
                                   &request->options, &png, &bytes);
    if (err != OK) {
        snprintf(reason, AUDIO_REASON_BYTES, "%s: cannot be drawn with these options", request->in);
        return err;
    }
    FILE *file = fopen(request->out, "wb");
    bool is_written = file != NULL && fwrite(png, 1, bytes, file) == bytes;
    if (file != NULL && fclose(file) != 0)
        is_written = false;
    free(png);
    if (!is_written)
        snprintf(reason, AUDIO_REASON_BYTES, "%s: could not be written", request->out);
    return is_written ? OK : ERR_SYSTEM;
}

int main(int argc, char **argv)
{
    struct request request;
    if (!parse(&request, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    char reason[AUDIO_REASON_BYTES] = "";
    struct audio *audio = NULL;
    enum err err = audio_read(&audio, request.in, reason);
    if (err == OK)
        err = draw(&request, audio, reason);
    if (err != OK)
        fprintf(stderr, "tonegate-spectrogram: %s\n", reason);
    audio_free(audio);
    return err == OK ? 0 : 2;
}
