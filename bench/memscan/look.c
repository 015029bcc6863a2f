#include "bench/memscan/look.h"

#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

/* Every stride up to a cache line, then what structs and packet slots come in. */
static const uint16_t strides[] = {
    1,   2,   3,   4,   5,   6,   7,   8,   9,   10,  11,  12,   13,   14,   15,   16,   17,   18,
    19,  20,  21,  22,  23,  24,  25,  26,  27,  28,  29,  30,   31,   32,   33,   34,   35,   36,
    37,  38,  39,  40,  41,  42,  43,  44,  45,  46,  47,  48,   49,   50,   51,   52,   53,   54,
    55,  56,  57,  58,  59,  60,  61,  62,  63,  64,  72,  80,   88,   96,   104,  112,  120,  128,
    160, 172, 176, 180, 192, 200, 224, 240, 256, 320, 512, 1024, 1500, 1504, 1536, 1600, 2048,
};
#define STRIDES        (sizeof(strides) / sizeof(strides[0]))
#define NARROW_STRIDES 64
#define UTF_STRIDES    4 /* a short needle at any stride would be found by chance */

#define EVENT_REPEATS_MAX 50
#define EXACT_MAX         64
#define EXACT_BYTES       128

struct needle {
    uint8_t digits[LOOK_DIGITS_MAX];
    uint8_t backwards[LOOK_DIGITS_MAX];
    size_t count;
    bool is_number;
};

/* A form with fixed bytes. */
struct exact {
    uint8_t bytes[EXACT_BYTES];
    size_t length;
    enum look_class class;
};

struct look {
    struct needle needles[LOOK_NEEDLES];
    size_t needle_count;
    struct exact exact[EXACT_MAX];
    size_t exact_count;
    uint8_t begins[65536 / 8]; /* bit per first two bytes of an exact form */
    unsigned partial;
};

const char *look_class_name(enum look_class class)
{
    static const char *const names[LOOK_CLASSES] = {"ascii",  "separated", "wide",    "raw", "strided",
                                                    "events", "bcd",       "integer", "hex", "base64",
                                                    "url",    "reversed",  "partial"};
    return (unsigned)class < LOOK_CLASSES ? names[class] : "?";
}

enum err look_new(struct look **out, unsigned partial)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return ERR_MEMORY;
    (*out)->partial = partial;
    return OK;
}

void look_free(struct look *look)
{
    if (!look)
        return;
    wipe(look, sizeof(*look));
    free(look);
}

/* --- forms with fixed bytes --- */

static void add_exact(struct look *look, enum look_class class, const uint8_t *bytes, size_t length)
{
    if (length < 4 || length > EXACT_BYTES || look->exact_count == EXACT_MAX)
        return;
    struct exact *exact = &look->exact[look->exact_count++];
    memcpy(exact->bytes, bytes, length);
    exact->length = length;
    exact->class = class;
    unsigned first = bytes[0] | (unsigned)bytes[1] << 8;
    look->begins[first / 8] |= (uint8_t)(1u << first % 8);
}

static void text_of(const struct needle *needle, uint8_t *text)
{
    for (size_t i = 0; i < needle->count; i++)
        text[i] = (uint8_t)('0' + needle->digits[i]);
}

/* from: 0 when the first digit fills a byte's first half, 1 when it fills the second. Only whole bytes are compared. */
static void add_bcd(struct look *look, const struct needle *needle, size_t from, bool is_swapped)
{
    uint8_t packed[LOOK_DIGITS_MAX];
    size_t length = 0;
    for (size_t i = from; i + 1 < needle->count; i += 2) {
        unsigned first = needle->digits[i];
        unsigned second = needle->digits[i + 1];
        packed[length++] = (uint8_t)(is_swapped ? second << 4 | first : first << 4 | second);
    }
    add_exact(look, LOOK_BCD, packed, length);
    wipe(packed, sizeof(packed));
}

static void add_both_ends(struct look *look, const void *value)
{
    uint8_t forward[8], backward[8];
    memcpy(forward, value, 8);
    for (int i = 0; i < 8; i++)
        backward[i] = forward[7 - i];
    add_exact(look, LOOK_INTEGER, forward, 8);
    add_exact(look, LOOK_INTEGER, backward, 8);
    wipe(forward, 8);
    wipe(backward, 8);
}

static void add_integers(struct look *look, const struct needle *needle)
{
    uint64_t value = 0;
    if (needle->count > 19)
        return;
    for (size_t i = 0; i < needle->count; i++)
        value = value * 10 + needle->digits[i];
    double real = (double)value;
    add_both_ends(look, &value);
    add_both_ends(look, &real);
    char hex[17];
    for (int is_upper = 0; is_upper <= 1; is_upper++) {
        const char *letters = is_upper ? "0123456789ABCDEF" : "0123456789abcdef";
        size_t length = 0;
        for (int shift = 60; shift >= 0; shift -= 4) {
            if (length > 0 || value >> shift != 0)
                hex[length++] = letters[value >> shift & 15];
        }
        add_exact(look, LOOK_HEX, (const uint8_t *)hex, length);
    }
    wipe(&value, sizeof(value));
    wipe(&real, sizeof(real));
    wipe(hex, sizeof(hex));
}

static void add_hex(struct look *look, const uint8_t *bytes, size_t count)
{
    uint8_t hex[2 * LOOK_DIGITS_MAX];
    for (size_t i = 0; i < count; i++) {
        hex[2 * i] = (uint8_t)('0' + (bytes[i] >> 4)); /* 0 or 3 */
        hex[2 * i + 1] = (uint8_t)('0' + (bytes[i] & 15));
    }
    add_exact(look, LOOK_HEX, hex, 2 * count);
    wipe(hex, sizeof(hex));
}

/* The letters that depend on these bytes alone, with `before` unknown bytes in front. */
static void add_base64(struct look *look, const uint8_t *bytes, size_t count, size_t before,
                       const char *alphabet)
{
    uint8_t text[2 * LOOK_DIGITS_MAX];
    size_t length = 0;
    size_t bit = before % 3 * 8;
    size_t first = (bit + 5) / 6 * 6; /* the first letter that lies whole within */
    for (size_t at = first; at + 6 <= bit + 8 * count; at += 6) {
        unsigned letter = 0;
        for (size_t b = at; b < at + 6; b++) {
            size_t k = b - bit;
            letter = letter << 1 | (bytes[k / 8] >> (7 - k % 8) & 1u);
        }
        text[length++] = (uint8_t)alphabet[letter];
    }
    add_exact(look, LOOK_BASE64, text, length);
    wipe(text, sizeof(text));
}

static void add_encodings(struct look *look, const uint8_t *bytes, size_t count)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    add_hex(look, bytes, count);
    for (size_t before = 0; before < 3; before++)
        add_base64(look, bytes, count, before, alphabet);
}

static void add_url(struct look *look, const struct needle *needle)
{
    uint8_t text[3 * LOOK_DIGITS_MAX];
    for (size_t i = 0; i < needle->count; i++) {
        text[3 * i] = '%';
        text[3 * i + 1] = '3';
        text[3 * i + 2] = (uint8_t)('0' + needle->digits[i]);
    }
    add_exact(look, LOOK_URL, text, 3 * needle->count);
    wipe(text, sizeof(text));
}

enum err look_add(struct look *look, const uint8_t *digits, size_t count, bool is_number)
{
    if (count < LOOK_DIGITS_MIN || count > LOOK_DIGITS_MAX)
        return ERR_RANGE;
    if (look->needle_count == LOOK_NEEDLES)
        return ERR_FULL;
    struct needle *needle = &look->needles[look->needle_count++];
    needle->count = count;
    needle->is_number = is_number;
    for (size_t i = 0; i < count; i++) {
        needle->digits[i] = digits[i];
        needle->backwards[count - 1 - i] = digits[i];
    }
    uint8_t text[LOOK_DIGITS_MAX];
    text_of(needle, text);
    add_encodings(look, text, count);
    add_encodings(look, needle->digits, count);
    add_url(look, needle);
    wipe(text, sizeof(text));
    if (!is_number)
        return OK;
    for (size_t from = 0; from <= 1; from++) {
        add_bcd(look, needle, from, false);
        add_bcd(look, needle, from, true);
    }
    add_integers(look, needle);
    return OK;
}

static void find_exact(const struct look *look, const uint8_t *bytes, size_t length, size_t own_length,
                       uint64_t *found)
{
    for (size_t at = 0; at < own_length && at + 2 <= length; at++) {
        unsigned first = bytes[at] | (unsigned)bytes[at + 1] << 8;
        if (!(look->begins[first / 8] >> first % 8 & 1))
            continue;
        for (size_t i = 0; i < look->exact_count; i++) {
            const struct exact *exact = &look->exact[i];
            if (exact->length <= length - at && memcmp(bytes + at, exact->bytes, exact->length) == 0)
                found[exact->class]++;
        }
    }
}

/* --- forms at a stride --- */

struct stream {
    const uint8_t *bytes;
    size_t length;
};

static bool is_run(const struct stream *in, size_t at, size_t stride, const uint8_t *digits, size_t count,
                   uint8_t base)
{
    if ((count - 1) * stride >= in->length - at)
        return false;
    for (size_t i = 1; i < count; i++) {
        if (in->bytes[at + i * stride] != base + digits[i])
            return false;
    }
    return true;
}

/* The position of the first digit that is not 0: zeros are everywhere. */
static size_t anchor_of(const uint8_t *digits, size_t count)
{
    size_t anchor = 0;
    while (anchor + 1 < count && digits[anchor] == 0)
        anchor++;
    return anchor;
}

static uint64_t find_runs(const struct stream *in, size_t own_length, const uint8_t *digits, size_t count,
                          uint8_t base, size_t stride_first, size_t stride_end)
{
    size_t anchor = anchor_of(digits, count);
    uint8_t wanted = (uint8_t)(base + digits[anchor]);
    uint64_t runs = 0;
    for (size_t at = 0; at < in->length; at++) {
        if (in->bytes[at] != wanted)
            continue;
        for (size_t i = stride_first; i < stride_end; i++) {
            size_t stride = strides[i];
            if (at < anchor * stride)
                break;
            size_t start = at - anchor * stride;
            size_t next = anchor + 1 < count ? at + stride : at;
            if (start >= own_length || next >= in->length)
                continue;
            if (anchor + 1 < count && in->bytes[next] != base + digits[anchor + 1])
                continue;
            runs += in->bytes[start] == base + digits[0] && is_run(in, start, stride, digits, count, base);
        }
    }
    return runs;
}

/* --- text with separators --- */

static size_t separator_length(const struct stream *in, size_t at)
{
    if (at >= in->length)
        return 0;
    if (memchr(" -./+_:,\t", in->bytes[at], 9))
        return 1;
    return in->length - at >= 3 && memcmp(in->bytes + at, "%20", 3) == 0 ? 3 : 0;
}

static bool is_separated(const struct stream *in, size_t at, const struct needle *needle)
{
    size_t separators = 0;
    for (size_t i = 0; i < needle->count; i++) {
        for (int most = 2; i > 0 && most > 0; most--) {
            size_t skip = separator_length(in, at);
            separators += skip > 0;
            at += skip;
        }
        if (at >= in->length || in->bytes[at] != '0' + needle->digits[i])
            return false;
        at++;
    }
    return separators > 0;
}

static uint64_t find_separated(const struct stream *in, size_t own_length, const struct needle *needle)
{
    uint64_t count = 0;
    for (size_t at = 0; at < own_length; at++)
        count += in->bytes[at] == '0' + needle->digits[0] && is_separated(in, at, needle);
    return count;
}

/* --- events --- */

/* At least one digit more than once, or it is a plain run. */
static bool is_event_run(const struct stream *in, size_t at, size_t stride, const struct needle *needle)
{
    size_t i = 0;
    size_t taken = 0;
    for (size_t repeats = 0; at < in->length; at += stride) {
        uint8_t code = in->bytes[at];
        if (code == needle->digits[i] && repeats < EVENT_REPEATS_MAX) {
            repeats++;
        } else if (i + 1 < needle->count && code == needle->digits[i + 1]) {
            i++;
            repeats = 1;
        } else {
            break;
        }
        taken++;
    }
    return i + 1 == needle->count && taken > needle->count;
}

/* The number without repeats of its own: retransmissions hide those. */
static void collapse(const struct needle *needle, struct needle *collapsed)
{
    collapsed->count = 0;
    for (size_t i = 0; i < needle->count; i++) {
        if (i == 0 || needle->digits[i] != needle->digits[i - 1])
            collapsed->digits[collapsed->count++] = needle->digits[i];
    }
}

static uint64_t find_events(const struct stream *in, size_t own_length, const struct needle *needle)
{
    struct needle collapsed;
    collapse(needle, &collapsed);
    uint64_t count = 0;
    if (collapsed.count < LOOK_DIGITS_MIN || collapsed.digits[0] == 0)
        return 0;
    for (size_t at = 0; at < own_length; at++) {
        if (in->bytes[at] != collapsed.digits[0])
            continue;
        for (size_t i = 0; i < STRIDES; i++) {
            size_t stride = strides[i];
            bool is_packet = stride >= 4 && stride % 4 == 0;
            bool is_first = at < stride || in->bytes[at - stride] != collapsed.digits[0];
            if (is_packet && is_first && at + stride < in->length &&
                (in->bytes[at + stride] == collapsed.digits[0] ||
                 in->bytes[at + stride] == collapsed.digits[1]))
                count += is_event_run(in, at, stride, &collapsed);
        }
    }
    wipe(&collapsed, sizeof(collapsed));
    return count;
}

/* --- parts --- */

/* Mostly zeros is what any integer looks like, 2345678 is in every table: such a part tells nothing. */
static bool is_telling(const uint8_t *digits, size_t count)
{
    size_t nonzero = 0;
    size_t steps = 0;
    for (size_t i = 0; i < count; i++) {
        nonzero += digits[i] != 0;
        if (i > 1)
            steps += digits[i] - digits[i - 1] == digits[i - 1] - digits[i - 2];
    }
    return nonzero > count / 2 && steps < count / 2;
}

static uint64_t find_parts(const struct stream *in, size_t own_length, const struct needle *needle,
                           unsigned size)
{
    uint64_t count = 0;
    for (size_t from = 0; from + size <= needle->count; from++) {
        if (!is_telling(needle->digits + from, size))
            continue;
        count += find_runs(in, own_length, needle->digits + from, size, '0', 0, 1);
        count += find_runs(in, own_length, needle->digits + from, size, 0, 0, 1);
    }
    return count;
}

void look_at(const struct look *look, const uint8_t *bytes, size_t length, size_t own_length,
             uint64_t found[LOOK_CLASSES])
{
    const struct stream in = {bytes, length};
    find_exact(look, bytes, length, own_length, found);
    for (size_t i = 0; i < look->needle_count; i++) {
        const struct needle *needle = &look->needles[i];
        size_t widest = needle->is_number ? NARROW_STRIDES : UTF_STRIDES;
        found[LOOK_ASCII] += find_runs(&in, own_length, needle->digits, needle->count, '0', 0, 1);
        found[LOOK_WIDE] += find_runs(&in, own_length, needle->digits, needle->count, '0', 1, widest);
        found[LOOK_RAW] += find_runs(&in, own_length, needle->digits, needle->count, 0, 0, 1);
        found[LOOK_SEPARATED] += find_separated(&in, own_length, needle);
        if (needle->is_number) {
            found[LOOK_STRIDED] += find_runs(&in, own_length, needle->digits, needle->count, 0, 1, STRIDES);
            found[LOOK_REVERSED] += find_runs(&in, own_length, needle->backwards, needle->count, '0', 0, 1);
            found[LOOK_REVERSED] +=
                find_runs(&in, own_length, needle->backwards, needle->count, 0, 0, NARROW_STRIDES);
            found[LOOK_EVENTS] += find_events(&in, own_length, needle);
            if (look->partial)
                found[LOOK_PARTIAL] += find_parts(&in, own_length, needle, look->partial);
        }
    }
}
