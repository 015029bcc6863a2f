/* tonegate-memscan-plant: keeps a card in its memory in the one form it is told to, so that a test can see whether
 * tonegate-memscan finds it. Reads digits from standard input, says "ready", waits until standard input closes.
 *
 * Forms: none, and those of the table at the end. What it reads is wiped: only the planted form stays. */
#include "base/secret.h"
#include "dsp/g711.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define DIGITS_MAX 32
#define SOIL_BYTES (1u << 20)

static uint8_t digits[DIGITS_MAX];
static size_t count;

/* --- text and bytes --- */

static void put_at_stride(uint8_t *soil, size_t stride, uint8_t base)
{
    for (size_t i = 0; i < count; i++)
        soil[i * stride] = (uint8_t)(base + digits[i]);
}

static void plant_ascii(uint8_t *soil)
{
    put_at_stride(soil, 1, '0');
}

static void plant_separated(uint8_t *soil)
{
    for (size_t i = 0; i < count; i++) {
        *soil++ = (uint8_t)('0' + digits[i]);
        if (i % 4 == 3)
            *soil++ = i % 8 == 3 ? ' ' : '-';
    }
}

static void plant_utf16(uint8_t *soil)
{
    put_at_stride(soil, 2, '0');
}

static void plant_utf32(uint8_t *soil)
{
    put_at_stride(soil, 4, '0');
}

static void plant_raw(uint8_t *soil)
{
    put_at_stride(soil, 1, 0);
}

static void plant_strided_2(uint8_t *soil)
{
    memset(soil, 1, 2 * count); /* key and source */
    put_at_stride(soil, 2, 0);
}

static void plant_strided_40(uint8_t *soil)
{
    put_at_stride(soil + 28, 40, 0); /* a key in a message in a ring */
}

/* Packets of 16 bytes (header of 12, event of 4), each key in three of them, three ends. */
static void plant_events(uint8_t *soil)
{
    for (size_t i = 0; i < 6 * count; i++) {
        uint8_t *packet = soil + 16 * i;
        memset(packet, 0x80, 12);
        packet[12] = digits[i / 6];
        packet[13] = i % 6 >= 3 ? 0x8a : 0x0a;
        packet[15] = 160;
    }
}

static void plant_reversed(uint8_t *soil)
{
    for (size_t i = 0; i < count; i++)
        soil[i] = (uint8_t)('0' + digits[count - 1 - i]);
}

static void put_bcd(uint8_t *soil, size_t offset, int is_swapped)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = i + offset;
        int is_high = (at % 2 == 0) != (is_swapped != 0);
        soil[at / 2] |= (uint8_t)(is_high ? digits[i] << 4 : digits[i]);
    }
}

static void plant_bcd(uint8_t *soil)
{
    put_bcd(soil, 0, 0);
}

static void plant_bcd_odd(uint8_t *soil)
{
    put_bcd(soil, 1, 0);
}

static void plant_bcd_swapped(uint8_t *soil)
{
    put_bcd(soil, 0, 1);
}

static uint64_t value(void)
{
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++)
        all = all * 10 + digits[i];
    return all;
}

static void plant_int64(uint8_t *soil)
{
    *(uint64_t *)(void *)soil = value();
}

static void plant_int64_be(uint8_t *soil)
{
    *(uint64_t *)(void *)soil = __builtin_bswap64(value());
}

static void plant_double(uint8_t *soil)
{
    *(double *)(void *)soil = (double)value();
}

static void plant_hex(uint8_t *soil)
{
    for (size_t i = 0; i < count; i++) {
        soil[2 * i] = '3';
        soil[2 * i + 1] = (uint8_t)('0' + digits[i]);
    }
}

static void plant_url(uint8_t *soil)
{
    for (size_t i = 0; i < count; i++) {
        soil[3 * i] = '%';
        soil[3 * i + 1] = '3';
        soil[3 * i + 2] = (uint8_t)('0' + digits[i]);
    }
}

static void put_base64(uint8_t *soil, size_t before)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t text[DIGITS_MAX + 8];
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < count; i++)
        text[before + i] = (uint8_t)('0' + digits[i]);
    for (size_t i = 0; i < before + count; i += 3) {
        unsigned bits = (unsigned)text[i] << 16 | (unsigned)text[i + 1] << 8 | text[i + 2];
        for (int k = 0; k < 4; k++)
            *soil++ = (uint8_t)alphabet[bits >> (18 - 6 * k) & 63];
    }
    wipe(text, sizeof(text));
}

static void plant_base64(uint8_t *soil)
{
    put_base64(soil, 0);
}

static void plant_base64_1(uint8_t *soil)
{
    put_base64(soil, 1);
}

static void plant_base64_2(uint8_t *soil)
{
    put_base64(soil, 2);
}

/* --- sound --- */

#define KEY_SAMPLES   640 /* 80 ms */
#define PAUSE_SAMPLES 400

static double sample_at(size_t n)
{
    static const double rows[] = {697, 770, 852, 941}, columns[] = {1209, 1336, 1477};
    size_t key = n / (KEY_SAMPLES + PAUSE_SAMPLES);
    if (key >= count || n % (KEY_SAMPLES + PAUSE_SAMPLES) >= KEY_SAMPLES)
        return 0;
    unsigned digit = digits[key];
    double row = digit == 0 ? rows[3] : rows[(digit - 1) / 3];
    double column = digit == 0 ? columns[1] : columns[(digit - 1) % 3];
    double t = (double)n / 8000;
    return 0.2 * (sin(2 * M_PI * row * t) + sin(2 * M_PI * column * t));
}

/* Some line noise, so that the pauses are not flat. */
static int16_t linear_at(size_t n)
{
    static uint32_t random = 1;
    random = random * 1664525u + 1013904223u;
    return (int16_t)(sample_at(n) * 32767 + (double)(random >> 24) - 128);
}

static size_t sound_samples(void)
{
    return count * (KEY_SAMPLES + PAUSE_SAMPLES);
}

static void put_law(uint8_t *soil, enum g711_law law, size_t slot, size_t header)
{
    for (size_t n = 0; n < sound_samples(); n++) {
        int16_t linear = linear_at(n);
        g711_encode(law, &linear, soil + n / 160 * slot + header + n % 160, 1);
    }
}

static void plant_ulaw(uint8_t *soil)
{
    put_law(soil, G711_ULAW, 160, 0);
}

static void plant_ulaw_slots(uint8_t *soil)
{
    put_law(soil, G711_ULAW, 192, 12); /* RTP packets in slots of a pool */
}

static void plant_alaw(uint8_t *soil)
{
    put_law(soil, G711_ALAW, 160, 0);
}

static void plant_s16(uint8_t *soil)
{
    for (size_t n = 0; n < sound_samples(); n++)
        ((int16_t *)(void *)soil)[n] = linear_at(n);
}

static void plant_f32(uint8_t *soil)
{
    for (size_t n = 0; n < sound_samples(); n++)
        ((float *)(void *)soil)[n] = (float)linear_at(n) / 32768;
}

static void plant_partial(uint8_t *soil)
{
    for (size_t i = 0; i < 8; i++)
        soil[i] = (uint8_t)('0' + digits[i + 4]);
}

static void plant_none(uint8_t *soil)
{
    for (size_t n = 0; n < 200000; n++) /* noise that is no key */
        soil[n] = (uint8_t)(linear_at(1u << 30) * 7 + (int)n);
}

static const struct {
    const char *name;
    void (*plant)(uint8_t *soil);
} forms[] = {
    {"none", plant_none},
    {"ascii", plant_ascii},
    {"separated", plant_separated},
    {"utf16", plant_utf16},
    {"utf32", plant_utf32},
    {"raw", plant_raw},
    {"strided-2", plant_strided_2},
    {"strided-40", plant_strided_40},
    {"events", plant_events},
    {"reversed", plant_reversed},
    {"bcd", plant_bcd},
    {"bcd-odd", plant_bcd_odd},
    {"bcd-swapped", plant_bcd_swapped},
    {"int64", plant_int64},
    {"int64-be", plant_int64_be},
    {"double", plant_double},
    {"hex", plant_hex},
    {"url", plant_url},
    {"base64", plant_base64},
    {"base64-1", plant_base64_1},
    {"base64-2", plant_base64_2},
    {"ulaw", plant_ulaw},
    {"ulaw-slots", plant_ulaw_slots},
    {"alaw", plant_alaw},
    {"s16", plant_s16},
    {"f32", plant_f32},
    {"partial", plant_partial},
};

static void read_digits(void)
{
    char one;
    while (count < DIGITS_MAX && read(STDIN_FILENO, &one, 1) == 1 && one != '\n') {
        if (one >= '0' && one <= '9')
            digits[count++] = (uint8_t)(one - '0');
    }
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : "none";
    uint8_t *soil = calloc(1, SOIL_BYTES);
    if (!soil)
        return 2;
    /* The scanner is no parent of this process: let it look all the same. */
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    read_digits();
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (strcmp(forms[i].name, wanted) != 0)
            continue;
        forms[i].plant(soil + 4096 - (uintptr_t)soil % 4096 + 64);
        wipe(digits, sizeof(digits));
        if (write(STDOUT_FILENO, "ready\n", 6) != 6)
            return 2;
        char end;
        while (read(STDIN_FILENO, &end, 1) > 0)
            ;
        wipe(soil, SOIL_BYTES);
        free(soil);
        return 0;
    }
    fprintf(stderr, "tonegate-memscan-plant: no such form\n");
    return 2;
}
