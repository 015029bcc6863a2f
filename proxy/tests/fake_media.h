#ifndef TONEGATE_PROXY_TESTS_FAKE_MEDIA_H
#define TONEGATE_PROXY_TESTS_FAKE_MEDIA_H

#include "proxy/media/media.h"

struct fake_media {
    int open;
    int open_max; /* more get ERR_FULL */
    int updates;
    int restores;
    int info_keys;
    bool is_armed;
    enum err info_error; /* what an armed leg says to a key */
    uint64_t last_call;
    struct media_ports ports; /* of the last call */
    dtmf_key last_key;
    unsigned last_duration_ms;
    struct media_leg legs[MEDIA_SIDES];
};
extern struct fake_media fake_media;

#endif
