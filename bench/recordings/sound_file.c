#include "bench/recordings/sound_file.h"

#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define G711_RATE        8000
#define OPEN_ENDED_BYTES 0x7FFFF000U /* and above: what writers to a pipe put into a header */

static const char cut_short[] = "is cut short: its header promises more audio";

struct sound_file {
    SNDFILE *file;
    SF_INFO format;
    const char *name; /* of the caller's */
    bool is_float;
    bool is_cut;   /* read to its end, which is an error */
    uint64_t done; /* frames read */
    union {
        double real[SOUND_FRAMES_MAX * SOUND_CHANNELS_MAX];
        int whole[SOUND_FRAMES_MAX * SOUND_CHANNELS_MAX];
    } line;
};

enum sound_raw sound_raw_of_name(const char *path)
{
    static const struct {
        const char *ending;
        enum sound_raw raw;
    } endings[] = {{".ulaw", SOUND_RAW_ULAW}, {".ul", SOUND_RAW_ULAW}, {".pcmu", SOUND_RAW_ULAW},
                   {".alaw", SOUND_RAW_ALAW}, {".al", SOUND_RAW_ALAW}, {".pcma", SOUND_RAW_ALAW}};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot != NULL && i < sizeof endings / sizeof endings[0]; i++)
        if (strcasecmp(dot, endings[i].ending) == 0)
            return endings[i].raw;
    return SOUND_HAS_HEADER;
}

static enum err refuse(char *reason, const char *name, const char *wrong, enum err err)
{
    snprintf(reason, SOUND_REASON_BYTES, "%s: %s", name, wrong);
    return err;
}

/* "data : 4294967295 (should be 11520)": programs that write to a pipe do not know the size and promise the most. */
static bool is_open_ended(const char *line)
{
    const char *colon = strchr(line, ':');
    return colon != NULL && strtoull(colon + 1, NULL, 10) >= OPEN_ENDED_BYTES;
}

/* libsndfile reads a file that was cut short without an error; only its log says so. */
static bool is_cut_short(SNDFILE *file)
{
    char text[8192] = "";
    char *rest = NULL;
    sf_command(file, SFC_GET_LOG_INFO, text, sizeof text);
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        if ((strcasestr(line, "data") != NULL || strcasestr(line, "SSND") != NULL) &&
            strstr(line, "(should be") != NULL && !is_open_ended(line))
            return true;
    return false;
}

static enum err check(struct sound_file *sound, bool is_pipe, bool is_partial, char *reason)
{
    const SF_INFO *format = &sound->format;
    if (format->channels < 1 || format->channels > SOUND_CHANNELS_MAX)
        return refuse(reason, sound->name, "has more than 32 channels", ERR_RANGE);
    if (format->samplerate < SOUND_RATE_MIN || format->samplerate > SOUND_RATE_MAX)
        return refuse(reason, sound->name, "has a sampling rate outside 4000 to 192000 Hz", ERR_RANGE);
    if (is_pipe)
        return OK;
    if (format->frames < 1)
        return refuse(reason, sound->name, "holds no audio", ERR_SYNTAX);
    sound->is_cut = is_cut_short(sound->file);
    if (sound->is_cut && !is_partial)
        return refuse(reason, sound->name, cut_short, ERR_SYNTAX);
    return OK;
}

static bool is_float_encoding(int format)
{
    int encoding = format & SF_FORMAT_SUBMASK;
    return encoding == SF_FORMAT_FLOAT || encoding == SF_FORMAT_DOUBLE;
}

/* libsndfile would open a folder or wait for the writer of a pipe. */
static enum err check_kind(const char *path, char *reason)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return refuse(reason, path, strerror(errno), ERR_SYSTEM);
    if (S_ISDIR(status.st_mode))
        return refuse(reason, path, "is a folder", ERR_SYNTAX);
    if (S_ISREG(status.st_mode) && status.st_size == 0)
        return refuse(reason, path, "is empty", ERR_SYNTAX);
    return OK;
}

static const char *why_not(enum sound_raw raw)
{
    static char text[SOUND_REASON_BYTES / 2];
    if (sf_error(NULL) == SF_ERR_SYSTEM)
        return strerror(errno);
    if (sf_error(NULL) == SF_ERR_UNRECOGNISED_FORMAT && raw == SOUND_HAS_HEADER)
        return "is no audio file that is known here (say --raw ulaw or --raw alaw if it is G.711 without a "
               "header)";
    snprintf(text, sizeof text, "%s", sf_strerror(NULL));
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static enum err open_any(struct sound_file **out, const char *path, enum sound_raw raw, bool is_partial,
                         char *reason)
{
    bool is_pipe = strcmp(path, "-") == 0;
    *out = NULL;
    enum err err = is_pipe ? OK : check_kind(path, reason);
    if (err)
        return err;
    struct sound_file *sound = calloc(1, sizeof *sound);
    if (sound == NULL)
        return refuse(reason, path, "not enough memory", ERR_MEMORY);
    sound->name = is_pipe ? "standard input" : path;
    if (raw != SOUND_HAS_HEADER) {
        sound->format.samplerate = G711_RATE;
        sound->format.channels = 1;
        sound->format.format = SF_FORMAT_RAW | (raw == SOUND_RAW_ULAW ? SF_FORMAT_ULAW : SF_FORMAT_ALAW);
    }
    sound->file = is_pipe ? sf_open_fd(STDIN_FILENO, SFM_READ, &sound->format, 0)
                          : sf_open(path, SFM_READ, &sound->format);
    if (sound->file == NULL)
        err = refuse(reason, sound->name, why_not(raw), ERR_SYNTAX);
    else
        err = check(sound, is_pipe, is_partial, reason);
    if (err) {
        (void)sound_close(sound);
        return err;
    }
    sound->is_float = is_float_encoding(sound->format.format);
    *out = sound;
    return OK;
}

enum err sound_open(struct sound_file **out, const char *path, enum sound_raw raw, char *reason)
{
    return open_any(out, path, raw, false, reason);
}

enum err sound_open_partial(struct sound_file **out, const char *path, enum sound_raw raw, char *reason)
{
    return open_any(out, path, raw, true, reason);
}

struct sound_format sound_format(const struct sound_file *sound)
{
    bool is_known = sound->format.frames > 0 && sound->format.frames < SF_COUNT_MAX;
    return (struct sound_format){(unsigned)sound->format.samplerate, (unsigned)sound->format.channels,
                                 is_known ? (uint64_t)sound->format.frames : 0};
}

/* The line to the common scale: both factors are powers of two, nothing is rounded. */
static bool take_line(struct sound_file *sound, double *frames, size_t value_count)
{
    if (!sound->is_float) {
        for (size_t i = 0; i < value_count; i++)
            frames[i] = sound->line.whole[i] / 65536.0;
        return true;
    }
    for (size_t i = 0; i < value_count; i++) {
        frames[i] = sound->line.real[i] * 32768.0;
        if (!isfinite(frames[i]))
            return false;
    }
    return true;
}

enum err sound_read(struct sound_file *sound, double *frames, size_t wish, size_t *got, char *reason)
{
    *got = 0;
    if (wish == 0 || wish > SOUND_FRAMES_MAX)
        return refuse(reason, sound->name, "no such piece", ERR_RANGE);
    sf_count_t count = sound->is_float ? sf_readf_double(sound->file, sound->line.real, (sf_count_t)wish)
                                       : sf_readf_int(sound->file, sound->line.whole, (sf_count_t)wish);
    if (count < 0 || sf_error(sound->file) != SF_ERR_NO_ERROR)
        return refuse(reason, sound->name, sf_strerror(sound->file), ERR_SYNTAX);
    sound->done += (uint64_t)count;
    uint64_t promised = sound_format(sound).frames;
    if (((size_t)count < wish && sound->done < promised) || (count == 0 && sound->is_cut))
        return refuse(reason, sound->name, cut_short, ERR_SYNTAX);
    if (!take_line(sound, frames, (size_t)count * (size_t)sound->format.channels))
        return refuse(reason, sound->name, "holds samples that are not numbers", ERR_SYNTAX);
    *got = (size_t)count;
    return OK;
}

enum err sound_create(struct sound_file **out, int fd, const char *name, const struct sound_file *like,
                      char *reason)
{
    *out = NULL;
    struct sound_file *sound = calloc(1, sizeof *sound);
    if (sound == NULL)
        return refuse(reason, name, "not enough memory", ERR_MEMORY);
    sound->name = name;
    sound->format.samplerate = like->format.samplerate;
    sound->format.channels = like->format.channels;
    sound->format.format = like->format.format;
    sound->is_float = like->is_float;
    if (sf_format_check(&sound->format))
        sound->file = sf_open_fd(fd, SFM_WRITE, &sound->format, 0);
    if (sound->file == NULL) {
        free(sound);
        return refuse(reason, name, "this encoding can be read but not written", ERR_UNSUPPORTED);
    }
    sf_command(sound->file, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE);
    sf_command(sound->file, SFC_SET_CLIPPING, NULL, SF_TRUE);
    *out = sound;
    return OK;
}

static int whole_of(double value)
{
    double scaled = value * 65536.0;
    if (scaled >= 2147483647.0)
        return 2147483647;
    return scaled <= -2147483648.0 ? -2147483647 - 1 : (int)lrint(scaled);
}

enum err sound_write(struct sound_file *sound, const double *frames, size_t count, char *reason)
{
    size_t value_count = count * (size_t)sound->format.channels;
    sf_count_t written;
    if (count > SOUND_FRAMES_MAX)
        return refuse(reason, sound->name, "no such piece", ERR_RANGE);
    if (sound->is_float) {
        for (size_t i = 0; i < value_count; i++)
            sound->line.real[i] = frames[i] / 32768.0;
        written = sf_writef_double(sound->file, sound->line.real, (sf_count_t)count);
    } else {
        for (size_t i = 0; i < value_count; i++)
            sound->line.whole[i] = whole_of(frames[i]);
        written = sf_writef_int(sound->file, sound->line.whole, (sf_count_t)count);
    }
    if (written == (sf_count_t)count)
        return OK;
    return refuse(reason, sound->name, errno ? strerror(errno) : "could not be written", ERR_SYSTEM);
}

enum err sound_close(struct sound_file *sound)
{
    if (sound == NULL)
        return OK;
    int failed = sound->file == NULL ? 0 : sf_close(sound->file);
    free(sound);
    return failed ? ERR_SYSTEM : OK;
}
