/* Recordings whose keys are known, made from a table: what keys, over what, through what. Everything follows from the seed
 * (and from the versions of the codec libraries). Thread: one at a time. */
#ifndef TONEGATE_TESTVECTORS_VECTOR_SCENE_H
#define TONEGATE_TESTVECTORS_VECTOR_SCENE_H

#include "testvectors/speech.h"
#include "testvectors/tone_source.h"

struct vector_label {
    uint8_t key;
    size_t onset; /* samples */
    size_t end;
};

enum vector_expects {
    VECTOR_ALL,  /* every labelled key must be heard, and nothing else */
    VECTOR_NONE, /* there is nothing a receiver may take for a key; no labels */
    VECTOR_MOST, /* hard: a good receiver hears most of them */
    VECTOR_SOME, /* harder than any standard asks for */
};

struct vector_scene {
    const char *name; /* of its files */
    const char *says;
    enum vector_expects expects;
    bool is_over_speech;
    enum tone_line line; /* of the file that is written */
};
extern const struct vector_scene vector_scenes[];
extern const size_t vector_scene_count;
extern const char *const vector_expects_names[];

struct vector {
    int16_t *samples; /* at 8000 Hz, as the line delivers them */
    size_t count;
    struct vector_label *labels;
    size_t label_count;
};

/* key_count 1..10000. speech: where the scene wants it. Released with vector_release(). ERR_MEMORY, ERR_RANGE, ERR_UNSUPPORTED. */
MUST_USE enum err vector_make(struct vector *out, const struct vector_scene *scene,
                              const struct speech *speech, size_t key_count, uint64_t seed);
void vector_release(struct vector *vector);

#endif
