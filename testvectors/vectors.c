/* tonegate-vectors: recordings and captures whose keys are known, with label tracks and a manifest. */
#include "dsp/dtmf.h"
#include "testvectors/rtp_vector.h"
#include "testvectors/vector_scene.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_INPUT     2
#define PATH_BYTES     4096
#define DIGEST_TEXT    65
#define SMALL_KEYS     6
#define USUAL_KEYS     200
#define SPEECH_SECONDS 600
#define FILES_MAX      256

static const char usage[] = "usage: tonegate-vectors [--seed N] [--keys N] [--speech DIR | --small] OUT\n"
                            "  OUT          a new or empty folder: OUT/tones/*.wav and OUT/rtp/*.pcap, each "
                            "with NAME.txt (an Audacity label "
                            "track of\n"
                            "               its keys) beside it, and OUT/MANIFEST.tsv, written last: path, "
                            "source, licence, SHA-256, labels\n"
                            "  --seed N     the same seed gives the same keys (default 1)\n"
                            "  --keys N     in each recording, 1 to 10000 (default 200)\n"
                            "  --speech DIR recorded speech under keys (default: Debian's "
                            "asterisk-core-sounds-en-wav, or synthetic speech "
                            "without it)\n"
                            "  --small      6 keys and synthetic speech: the set in testvectors/\n"
                            "Exit 0: done. 2: it could not be written, and nothing was left.\n";

struct request {
    const char *out;
    const char *speech_folder;
    uint64_t seed;
    size_t key_count;
    bool is_small;
};

struct writing {
    const struct request *request;
    struct speech speech;
    const char *speech_source; /* for the manifest */
    const char *speech_licence;
    FILE *manifest;
    char files[FILES_MAX][PATH_BYTES]; /* written so far, to be taken away when it fails */
    size_t file_count;
};

static void complain(const char *path, const char *why)
{
    fprintf(stderr, "tonegate-vectors: %s: %s\n", path, why);
}

/* The path of a file that is about to be written. */
static const char *new_path(struct writing *writing, const char *folder, const char *name, const char *ending)
{
    char *path = writing->files[writing->file_count++];
    snprintf(path, PATH_BYTES, "%s/%s%s%s%s", writing->request->out, folder, *folder ? "/" : "", name,
             ending);
    return path;
}

/* ------------------------------------------------------------------ files */

static enum err write_wav(const char *path, const struct vector *vector, enum tone_line line)
{
    SF_INFO format = {.samplerate = DTMF_SAMPLE_RATE, .channels = 1};
    format.format = SF_FORMAT_WAV | (line == TONE_LINE_ALAW ? SF_FORMAT_ALAW : SF_FORMAT_ULAW);
    SNDFILE *file = sf_open(path, SFM_WRITE, &format);
    if (file == NULL) {
        complain(path, errno ? strerror(errno) : sf_strerror(NULL));
        return ERR_SYSTEM;
    }
    bool is_written =
        sf_writef_short(file, vector->samples, (sf_count_t)vector->count) == (sf_count_t)vector->count;
    if (sf_close(file) == 0 && is_written)
        return OK;
    complain(path, "could not be written");
    return ERR_SYSTEM;
}

static enum err close_file(FILE *file, const char *path)
{
    bool is_written = !ferror(file);
    if (fclose(file) == 0 && is_written)
        return OK;
    complain(path, strerror(errno));
    return ERR_SYSTEM;
}

static enum err write_labels(const char *path, const struct vector *vector)
{
    static const char letters[] = "0123456789*#ABCD";
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        complain(path, strerror(errno));
        return ERR_SYSTEM;
    }
    for (size_t k = 0; k < vector->label_count; k++)
        fprintf(file, "%.6f\t%.6f\t%c\n", (double)vector->labels[k].onset / DTMF_SAMPLE_RATE,
                (double)vector->labels[k].end / DTMF_SAMPLE_RATE, letters[vector->labels[k].key]);
    return close_file(file, path);
}

static enum err digest(const char *path, char *text)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned char piece[4096];
    unsigned length = 0;
    size_t got;
    FILE *file = fopen(path, "rb");
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = file != NULL && context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
    while (is_good && (got = fread(piece, 1, sizeof piece, file)) > 0)
        is_good = EVP_DigestUpdate(context, piece, got) == 1;
    is_good = is_good && !ferror(file) && EVP_DigestFinal_ex(context, bytes, &length) == 1;
    EVP_MD_CTX_free(context);
    if (file != NULL)
        fclose(file);
    for (unsigned i = 0; i < length; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", bytes[i]);
    if (!is_good)
        complain(path, "could not be read again");
    return is_good ? OK : ERR_SYSTEM;
}

static enum err list_file(struct writing *writing, const char *path, const char *says, const char *expects,
                          bool has_speech)
{
    char text[DIGEST_TEXT] = "";
    enum err err = digest(path, text);
    if (err)
        return err;
    fprintf(writing->manifest, "%s\t%s; seed %llu%s%s\t%s\t%s\t%s\n",
            path + strlen(writing->request->out) + 1, says, (unsigned long long)writing->request->seed,
            has_speech ? "; speech: " : "", has_speech ? writing->speech_source : "",
            has_speech ? writing->speech_licence : "CC0-1.0", text, expects);
    return OK;
}

/* ------------------------------------------------------------------ scenes */

static enum err make_tones(struct writing *writing, const struct vector_scene *scene)
{
    struct vector vector;
    char expects[64];
    const char *wav = new_path(writing, "tones", scene->name, ".wav");
    const char *labels = new_path(writing, "tones", scene->name, ".txt");
    enum err err =
        vector_make(&vector, scene, &writing->speech, writing->request->key_count, writing->request->seed);
    if (err) {
        complain(wav, err_str(err));
        return err;
    }
    snprintf(expects, sizeof expects, "tones,keys=%zu,heard=%s", vector.label_count,
             vector_expects_names[scene->expects]);
    err = write_wav(wav, &vector, scene->line);
    if (err == OK)
        err = write_labels(labels, &vector);
    if (err == OK)
        err = list_file(writing, wav, scene->says, expects, scene->is_over_speech);
    if (err == OK)
        err = list_file(writing, labels, "label track", "labels", false);
    vector_release(&vector);
    return err;
}

static enum err make_capture(struct writing *writing, const struct rtp_vector_scene *scene)
{
    static const char *const ways[] = {"tone", "event", "both"};
    struct vector vector;
    char expects[64];
    const char *capture = new_path(writing, "rtp", scene->name, ".pcap");
    const char *labels = new_path(writing, "rtp", scene->name, ".txt");
    size_t keys = writing->request->key_count;
    enum err err = vector_make(&vector, &vector_scenes[0], NULL, keys, writing->request->seed + 1);
    if (err) {
        complain(capture, err_str(err));
        return err;
    }
    FILE *file = fopen(capture, "wb");
    if (file == NULL) {
        complain(capture, strerror(errno));
        err = ERR_SYSTEM;
    } else {
        err = rtp_vector_write(file, scene, &vector, writing->request->seed);
        enum err closed = close_file(file, capture);
        err = err ? err : closed;
    }
    snprintf(expects, sizeof expects, "rtp,keys=%zu,heard=%s,way=%s", vector.label_count,
             vector_expects_names[scene->expects], ways[scene->way]);
    if (err == OK)
        err = write_labels(labels, &vector);
    if (err == OK)
        err = list_file(writing, capture, scene->says, expects, false);
    if (err == OK)
        err = list_file(writing, labels, "label track", "labels", false);
    vector_release(&vector);
    return err;
}

static enum err make_all(struct writing *writing)
{
    enum err err = OK;
    fprintf(writing->manifest, "path\tsource\tlicence\tsha256\tlabels\n");
    for (size_t s = 0; s < vector_scene_count && err == OK; s++)
        err = make_tones(writing, &vector_scenes[s]);
    for (size_t s = 0; s < rtp_vector_scene_count && err == OK; s++)
        err = make_capture(writing, &rtp_vector_scenes[s]);
    return err;
}

/* ------------------------------------------------------------------ folders, command line */

static bool is_empty(const char *path)
{
    DIR *folder = opendir(path);
    size_t count = 0;
    while (folder != NULL && count < 3 && readdir(folder) != NULL)
        count++;
    if (folder != NULL)
        closedir(folder);
    return folder != NULL && count < 3; /* itself and the one above */
}

static enum err make_folder(const char *out, const char *name)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s%s%s", out, *name ? "/" : "", name);
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && is_empty(path)))
        return OK;
    complain(path, errno == EEXIST ? "is there already, and not empty" : strerror(errno));
    return ERR_SYSTEM;
}

static void take_away(const struct writing *writing)
{
    static const char *const folders[] = {"/tones", "/rtp", ""};
    char path[PATH_BYTES];
    for (size_t i = 0; i < writing->file_count; i++)
        unlink(writing->files[i]);
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", writing->request->out, folders[i]);
        rmdir(path);
    }
}

static enum err load_speech(struct writing *writing)
{
    const char *folder = writing->request->speech_folder;
    writing->speech_source = "synthetic";
    writing->speech_licence = "CC0-1.0";
    if (writing->request->is_small)
        return speech_synthesize(&writing->speech, 1, 60);
    if (speech_load(&writing->speech, folder ? folder : SPEECH_PROMPTS, 0, SPEECH_SECONDS) == OK) {
        writing->speech_source = folder ? folder : "asterisk-core-sounds-en-wav";
        writing->speech_licence = folder ? "that of the speech" : "CC BY-SA 3.0";
        return OK;
    }
    if (folder != NULL) {
        complain(folder, "holds no WAV");
        return ERR_NOT_FOUND;
    }
    fprintf(stderr, "tonegate-vectors: no WAV below %s, speech is synthetic\n", SPEECH_PROMPTS);
    return speech_synthesize(&writing->speech, 1, SPEECH_SECONDS);
}

static bool take_number(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return isdigit((unsigned char)text[0]) && *end == '\0' && errno == 0 && *out <= most;
}

static bool take_option(struct request *request, int letter, const char *value)
{
    uint64_t number = 0;
    switch (letter) {
    case 's':
        return take_number(value, UINT32_MAX, &request->seed);
    case 'k':
        if (!take_number(value, 10000, &number) || number == 0)
            return false;
        request->key_count = (size_t)number;
        return true;
    case 'd':
        request->speech_folder = value;
        return true;
    case 'm':
        request->is_small = true;
        return true;
    default:
        return false;
    }
}

/* 0: go on; otherwise the exit code plus 1. */
static int parse(struct request *request, int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},   {"keys", required_argument, NULL, 'k'},
        {"speech", required_argument, NULL, 'd'}, {"small", no_argument, NULL, 'm'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
    };
    int letter;
    *request = (struct request){.seed = 1};
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (letter == 'h') {
            fputs(usage, stdout);
            return 1;
        }
        if (!take_option(request, letter, optarg)) {
            fputs(usage, stderr);
            return EXIT_INPUT + 1;
        }
    }
    if (argc - optind != 1 || strlen(argv[optind]) + 64 > PATH_BYTES ||
        (request->is_small && request->speech_folder != NULL)) {
        fputs(usage, stderr);
        return EXIT_INPUT + 1;
    }
    request->out = argv[optind];
    if (request->key_count == 0)
        request->key_count = request->is_small ? SMALL_KEYS : USUAL_KEYS;
    return 0;
}

static enum err write_all(struct writing *writing)
{
    const char *out = writing->request->out;
    enum err err = make_folder(out, "");
    if (err)
        return err; /* what is there is somebody else's */
    err = make_folder(out, "tones");
    if (err == OK)
        err = make_folder(out, "rtp");
    const char *path = new_path(writing, "", "MANIFEST", ".tsv.part");
    writing->manifest = err == OK ? fopen(path, "w") : NULL;
    if (err == OK && writing->manifest == NULL) {
        complain(path, strerror(errno));
        err = ERR_SYSTEM;
    }
    if (err == OK)
        err = make_all(writing);
    if (writing->manifest != NULL) {
        enum err closed = close_file(writing->manifest, path);
        err = err ? err : closed;
    }
    const char *whole = new_path(writing, "", "MANIFEST", ".tsv");
    if (err == OK && rename(path, whole) != 0) {
        complain(whole, strerror(errno));
        err = ERR_SYSTEM;
    }
    if (err)
        take_away(writing);
    return err;
}

int main(int argc, char **argv)
{
    static struct writing writing;
    struct request request;
    int code = parse(&request, argc, argv);
    if (code != 0)
        return code - 1;
    writing.request = &request;
    enum err err = load_speech(&writing);
    if (err == OK)
        err = write_all(&writing);
    speech_free(&writing.speech);
    return err ? EXIT_INPUT : 0;
}
