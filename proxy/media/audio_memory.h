/* Memory for the audio of armed legs: card data too while a key can be heard in it. Left out of core dumps, kept out of
 * swap where the limit of locked memory allows, zero at first, touched page by page only when it is used. */
#ifndef TONEGATE_PROXY_MEDIA_AUDIO_MEMORY_H
#define TONEGATE_PROXY_MEDIA_AUDIO_MEMORY_H

#include <stddef.h>

/* Page-aligned; NULL when there is no memory. */
void *audio_memory_new(size_t bytes);

/* NULL is accepted. Whoever used it has wiped it: what was never touched is not touched now. */
void audio_memory_free(void *memory, size_t bytes);

#endif
