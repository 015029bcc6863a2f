/* Secrets by reference: the configuration says where one lies, never what it is.
 *
 *   /path or file:/path     a file; white space at its end is not part of the secret
 *   credential:NAME         $CREDENTIALS_DIRECTORY/NAME, as systemd's LoadCredential= hands it over
 *   env:NAME                the environment; the value is overwritten there when it has been read
 *
 * Read before the wall, behind which none of them can be reached. */
#ifndef TONEGATE_BASE_SECRET_SOURCE_H
#define TONEGATE_BASE_SECRET_SOURCE_H

#include "base/secret.h"

/* secret is emptied, then filled. ERR_NOT_FOUND (no such file, variable or credential), ERR_SYNTAX (unknown kind, or a
 * credential's name with a slash), ERR_LENGTH (empty, or longer than the secret's capacity), ERR_SYSTEM. */
MUST_USE enum err secret_source_read(const char *reference, struct secret *secret);

#endif
