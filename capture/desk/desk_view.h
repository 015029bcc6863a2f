/* Calls and captures as the JSON of the API. Every function returns a new reference; NULL when memory is out. */
#ifndef TONEGATE_CAPTURE_DESK_DESK_VIEW_H
#define TONEGATE_CAPTURE_DESK_DESK_VIEW_H

#include "capture/desk/desk_model.h"

#include <jansson.h>

/* "cap_" or "call_" and 16 letters; out has room for DESK_ID_TEXT bytes. */
#define DESK_ID_TEXT 24
void desk_capture_id_text(uint64_t id, char *out);
void desk_call_id_text(uint64_t id, char *out);

/* Names as they stand in the API; "unknown" for values outside the enum. */
const char *desk_state_name(unsigned state);
const char *desk_problem_name(unsigned problem);
const char *desk_reason_name(unsigned reason);
const char *desk_brand_name(unsigned brand);
const char *desk_kind_name(unsigned kind); /* enum capture_kind */

json_t *desk_view_call(const struct desk_call *call, const struct desk_capture *capture);
json_t *desk_view_capture(const struct desk_capture *capture);
/* A capture that only the store knows any more. */
json_t *desk_view_record(const struct store_capture *record);

#endif
