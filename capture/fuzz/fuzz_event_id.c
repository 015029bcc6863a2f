/* Last-Event-ID, as a header brings it. */
#include "base/card_shape.h"
#include "capture/desk/desk_priv.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    char text[HTTP_VALUE_BYTES];
    uint64_t revision = 0;
    if (length >= sizeof(text))
        return 0;
    memcpy(text, bytes, length);
    text[length] = '\0';
    enum err err = desk_event_id_read(text, "abcdefghijklmnop", &revision);
    ASSERT(err == OK || err == ERR_SYNTAX || err == ERR_NOT_FOUND);
    if (err == OK)
        ASSERT(strncmp(text, "abcdefghijklmnop-", 17) == 0 && revision <= 999999999999999999ULL);
    ASSERT(!card_shape_alone(text) || card_shape_within(text));
    return 0;
}
