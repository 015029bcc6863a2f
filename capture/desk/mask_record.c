/* What the audit trail says of masking: that the watch muted a leg, and the record of each masked leg when it ends. The
 * single spans are left out of it on purpose: the rhythm of somebody's keys says something about them. */
#include "capture/desk/desk_priv.h"
#include "capture/desk/desk_view.h"

#define RECORDS_MAX                                                                                          \
    16 /* lines of each kind for one capture: its leg may be taken up again by so many proxies */
#define CLOCK_SLACK_NS (60 * NS_PER_S)
#define SAMPLES_PER_MS 8
#define RESIDUAL_MIN   (-9900)
#define RESIDUAL_MAX   1000

bool desk_mask_record_is_sane(const struct proxy_leg_report_msg *report)
{
    bool is_level = report->residual_cdbm0 == PROXY_RESIDUAL_NONE ||
                    (report->residual_cdbm0 >= RESIDUAL_MIN && report->residual_cdbm0 <= RESIDUAL_MAX);
    return is_level && report->is_last <= 1 && report->is_alarmed <= 1 && report->is_resumed <= 1 &&
           report->is_masking_off <= 1 && report->armed_at_ns >= 0 &&
           report->armed_at_ns <= report->told_at_ns && report->told_at_ns <= wall_now().ns + CLOCK_SLACK_NS;
}

static void append(struct desk *desk, const struct audit_entry *entry)
{
    enum err err = desk_disk_result(desk, audit_append(desk->audit, entry));
    (void)err; /* the leg stays as it is; that the trail cannot be written was told */
}

void desk_audit_alarm(struct desk *desk, struct desk_capture *capture)
{
    char id[DESK_ID_TEXT];
    if (capture->alarm_count == RECORDS_MAX)
        return;
    capture->alarm_count++;
    desk_capture_id_text(capture->record.id, id);
    log_event(LOG_ERROR,
              "the watch heard a key in what was to leave: the caller is muted until the capture ends",
              LOG_ID("capture", capture->record.id), LOG_ID("call", capture->record.call_id));
    append(desk, &(struct audit_entry){.who = "proxy",
                                       .what = "mask.alarm",
                                       .where = "local",
                                       .outcome = "muted",
                                       .resource = id,
                                       .reason = "key_in_outgoing_audio"});
}

static const char *verdict_of(const struct proxy_leg_report_msg *report)
{
    if (report->is_alarmed)
        return "alarm";
    return report->watched_8k ? "clean" : "not_watched";
}

static const char *reason_of(const struct proxy_leg_report_msg *report)
{
    if (report->is_masking_off)
        return "masking_off";
    return report->is_resumed ? "resumed_after_restart" : NULL;
}

static enum err record_write(struct desk *desk, const struct proxy_leg_report_msg *report)
{
    char id[DESK_ID_TEXT];
    desk_capture_id_text(report->capture_id, id);
    const struct audit_number numbers[] = {
        {"frames", (int64_t)(report->frames & INT64_MAX), 0},
        {"spans", report->spans, 0},
        {"masked_ms", (int64_t)(report->masked_samples / SAMPLES_PER_MS), 0},
        {"longest_ms", report->span_longest_8k / SAMPLES_PER_MS, 0},
        {"watched_ms", (int64_t)(report->watched_8k / SAMPLES_PER_MS), 0},
        {"watch_keys", report->watch_keys, 0},
        {"watch_remains", report->watch_remains, 0},
        {"events_removed", report->events_removed, 0},
        {"infos_removed", report->infos_removed, 0},
        {"residual_dbm0", report->residual_cdbm0, 2}, /* the last: left out when nothing was measured */
    };
    size_t count = sizeof(numbers) / sizeof(numbers[0]);
    const struct audit_entry entry = {
        .who = "proxy",
        .what = "mask.record",
        .where = "local",
        .outcome = verdict_of(report),
        .resource = id,
        .reason = reason_of(report),
        .from = {report->armed_at_ns},
        .to = {report->told_at_ns},
        .numbers = numbers,
        .number_count = report->residual_cdbm0 == PROXY_RESIDUAL_NONE ? count - 1 : count,
    };
    return desk_disk_result(desk, audit_append(desk->audit, &entry));
}

enum err desk_mask_record_take(struct desk *desk, const struct proxy_leg_report_msg *report)
{
    struct desk_capture *capture = desk_capture_get(desk, report->capture_id);
    if (!capture || capture->record.call_id != report->header.subject)
        return ERR_NOT_FOUND;
    if (capture->record_count == RECORDS_MAX)
        return ERR_FULL;
    capture->record_count++;
    return record_write(desk, report);
}
