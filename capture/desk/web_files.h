/* The page and the API's description, part of the binary: nothing is read from a disk to show them.
 * Written by embed.cmake. */
#ifndef TONEGATE_CAPTURE_DESK_WEB_FILES_H
#define TONEGATE_CAPTURE_DESK_WEB_FILES_H

#include <stddef.h>

struct web_file {
    const unsigned char *bytes;
    size_t length;
};

extern const struct web_file web_index_html;
extern const struct web_file web_app_js;
extern const struct web_file web_texts_js;
extern const struct web_file web_style_css;
extern const struct web_file web_icon_svg;
extern const struct web_file web_openapi_yaml;

#endif
