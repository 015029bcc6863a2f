#include "bench/recordings/rtp_capture.h"

#include "bench/recordings/sound_file.h"

bool rtp_capture_is_one(const char *path)
{
    (void)path;
    return false;
}

enum err rtp_capture_listen(const char *path, const struct rtp_capture_options *options, char *reason)
{
    (void)options;
    snprintf(reason, SOUND_REASON_BYTES, "%s: captures are not read yet", path);
    return ERR_UNSUPPORTED;
}
