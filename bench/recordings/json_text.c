#include "bench/recordings/json_text.h"

#include <stddef.h>

/* Bytes of the well-formed UTF-8 character that text begins with, 0 when there is none (Unicode 15, table 3-7). */
static size_t character_bytes(const unsigned char *text)
{
    static const struct {
        unsigned char first_least, first_most, second_least, second_most;
        size_t bytes;
    } shapes[] = {
        {0x01, 0x7F, 0x80, 0xBF, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (text[0] < shapes[i].first_least || text[0] > shapes[i].first_most)
            continue;
        for (size_t k = 1; k < shapes[i].bytes; k++) {
            unsigned least = k == 1 ? shapes[i].second_least : 0x80;
            unsigned most = k == 1 ? shapes[i].second_most : 0xBF;
            if (text[k] < least || text[k] > most)
                return 0;
        }
        return shapes[i].bytes;
    }
    return 0;
}

void json_text_print(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    fputc('"', out);
    while (*at != '\0') {
        size_t bytes = character_bytes(at);
        if (bytes == 0)
            fputs("\\ufffd", out);
        else if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7F)
            fprintf(out, "\\u%04x", *at);
        else
            fwrite(at, 1, bytes, out);
        at += bytes == 0 ? 1 : bytes;
    }
    fputc('"', out);
}
