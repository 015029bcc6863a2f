/* Files and texts for the tests of SIP syntax: files are read whole and kept in exact-size memory, so that a sanitizer sees
 * one byte too far. */
#ifndef TONEGATE_PROXY_TESTS_SIP_VECTORS_H
#define TONEGATE_PROXY_TESTS_SIP_VECTORS_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Freed by the caller. NULL when the file cannot be read. */
static inline char *vector_read(const char *path, size_t *length)
{
    static char whole[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    *length = fread(whole, 1, sizeof(whole), file);
    fclose(file);
    char *exact = malloc(*length ? *length : 1);
    if (exact)
        memcpy(exact, whole, *length);
    return exact;
}

/* Appends; what does not fit is a fault of the test. */
static inline void text_add(char *text, size_t capacity, const char *piece)
{
    size_t length = strlen(text);
    size_t more = strlen(piece);
    if (length + more >= capacity)
        abort();
    memcpy(text + length, piece, more + 1);
}

#endif
