/* Any bytes: a configuration or one complaint, never both, never a crash. */
#include "base/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct config config;
    char message[CONFIG_ERROR_BYTES];
    enum err err = config_parse(&config, "f", (const char *)bytes, length, message);
    if ((err == OK) != (message[0] == '\0'))
        abort();
    return 0;
}
