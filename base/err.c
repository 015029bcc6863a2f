#include "base/err.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const text_by_error[] = {
    [-OK] = "ok",
    [-ERR_RANGE] = "value out of range",
    [-ERR_ORDER] = "not allowed in this state",
    [-ERR_FULL] = "no room",
    [-ERR_EMPTY] = "nothing there",
    [-ERR_SYNTAX] = "syntax error",
    [-ERR_VERSION] = "version not known",
    [-ERR_LENGTH] = "wrong length",
    [-ERR_REFUSED] = "refused",
    [-ERR_UNSUPPORTED] = "not supported",
    [-ERR_NOT_FOUND] = "not found",
    [-ERR_EXISTS] = "exists already",
    [-ERR_MEMORY] = "out of memory",
    [-ERR_SYSTEM] = "system call failed",
    [-ERR_PEER_GONE] = "peer is gone",
    [-ERR_TIMEOUT] = "timed out",
    [-ERR_TLS] = "TLS failed",
    [-ERR_STORE] = "store failed",
};

const char *err_str(enum err err)
{
    if (err > 0 || err < ERR_LAST)
        return "unknown error";
    return text_by_error[-err];
}

static void write_text(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

_Noreturn void assert_failed(const char *file, int line, const char *condition)
{
    /* Only write(2): the heap may be what is broken. */
    char digits[12];
    size_t at = sizeof(digits) - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + line % 10);
        line /= 10;
    } while (line && at);
    write_text("assertion failed: ");
    write_text(file);
    write_text(":");
    write_text(&digits[at]);
    write_text(": ");
    write_text(condition);
    write_text("\n");
    abort();
}
