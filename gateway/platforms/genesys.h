/* Genesys Cloud: what is asked of it and how its answers are read. Pure: requests are written here and sent by hooks.c.
 *
 * Source: platform-client-sdk-javascript ConversationsApi.md (participant attributes, recordingstate; requirement C4). */
#ifndef TONEGATE_GATEWAY_GENESYS_H
#define TONEGATE_GATEWAY_GENESYS_H

#include "base/config.h"
#include "base/err.h"
#include "base/secret.h"
#include "gateway/hook_msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GENESYS_PATH_BYTES  256
#define GENESYS_BODY_BYTES  1024
#define GENESYS_TOKEN_BYTES 1024

struct genesys_request {
    const char *method;
    char path[GENESYS_PATH_BYTES];
    uint8_t body[GENESYS_BODY_BYTES];
    size_t length;
};

/* "https://login.<region>" and "https://api.<region>" of a region of the vendor's table, by its host ("mypurecloud.ie") or
 * by its AWS name ("eu-west-1"). NULL: no such region. */
const char *genesys_region_host(const char *region);

/* PATCH of the participant's attributes, or the recording's state by the API that is asked for. The path's parts must be
 * names of the platform's form, letters, digits and '-': ERR_RANGE otherwise, and for a hook that is not the platform's.
 * ERR_UNSUPPORTED: recording and CONFIG_RECORDING_OFF. ERR_FULL. */
MUST_USE enum err genesys_build(const struct hook_send_msg *hook, enum config_recording_api recording_api,
                                struct genesys_request *request);

/* Takes access_token and expires_in out of a login's answer. ERR_SYNTAX, ERR_FULL (token too long). */
MUST_USE enum err genesys_read_login(const uint8_t *body, size_t length, struct secret *token,
                                     unsigned *valid_s);

#endif
