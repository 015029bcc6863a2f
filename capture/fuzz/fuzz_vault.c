/* Any bytes through any of the vault's three ports, in any state: each input is a little session. Its first byte says
 * from which state it starts; then come records of one byte port, one byte length in units of 4 and that many bytes,
 * given to msg_dispatch() as a peer would have sent them. Port 3 lets time pass, ports 4..6 let a link drop and come
 * back. To get anywhere, the length and version of a record are set right when its port byte has the high bit. */
#include "base/log.h"
#include "capture/tests/vault_stage.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static size_t length_of(uint16_t type)
{
    switch (type) {
    case CAPTURE_OPEN:
        return sizeof(struct capture_open_msg);
    case CAPTURE_FIELD:
        return sizeof(struct capture_field_msg);
    case CAPTURE_CANCEL:
        return sizeof(struct capture_cancel_msg);
    case CAPTURE_STORED:
        return sizeof(struct capture_stored_msg);
    case CAPTURE_RECONCILE:
        return sizeof(struct capture_reconcile_msg);
    case PROXY_DIGIT:
        return sizeof(struct proxy_digit_msg);
    case PROXY_ARMED:
        return sizeof(struct proxy_armed_msg);
    case PROXY_CALL_GONE:
        return sizeof(struct proxy_call_gone_msg);
    case PROXY_ALARM:
        return sizeof(struct proxy_alarm_msg);
    case GATEWAY_REPLY:
        return sizeof(struct gateway_reply_msg);
    default:
        return sizeof(struct msg_header);
    }
}

static void put(struct stage *stage, uint8_t how, const uint8_t *record, size_t length)
{
    union stage_message m;
    memset(&m, 0, sizeof(m));
    memcpy(m.bytes, record, length < sizeof(m) ? length : sizeof(m));
    size_t put_length = length;
    if (how & 0x80) {
        put_length = length_of(m.header.type);
        m.header.version = MSG_VERSION;
        m.header.length = (uint32_t)put_length;
    }
    enum err ignored = msg_dispatch(dispatch_port(stage->dispatch, how % 4 % DISPATCH_PEERS), &m, put_length);
    (void)ignored;
}

static void check(struct stage *stage)
{
    for (size_t i = 0; i < captures_end(dispatch_captures(stage->dispatch)); i++) {
        const struct capture *capture = captures_at(dispatch_captures(stage->dispatch), i);
        ASSERT(!capture ||
               (capture->id != 0 && capture->state > PAYMENT_NONE && capture->state < PAYMENT_STATES));
        ASSERT(!capture || !payment_is_end(capture->state) || !capture->fields);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length < 1)
        return 0;
    struct stage stage;
    stage_open(&stage, 1);
    enum payment_state start = (enum payment_state)(bytes[0] % PAYMENT_STATES);
    if (start != PAYMENT_NONE)
        stage_reach(&stage, start);
    size_t at = 1;
    while (at + 2 <= length) {
        uint8_t how = bytes[at];
        size_t record = (size_t)bytes[at + 1] * 4;
        at += 2;
        if (record > length - at)
            record = length - at;
        if ((how & 7) == 3) {
            stage_jump(&stage, (int64_t)record * 1000);
        } else if ((how & 7) > 3 && (how & 7) < 7) {
            stage_down(&stage, (enum dispatch_peer)((how & 7) - 4));
            stage_up(&stage, (enum dispatch_peer)((how & 7) - 4));
        } else {
            put(&stage, how, bytes + at, record);
        }
        at += record;
        stage_flush(&stage);
        check(&stage);
    }
    stage_close(&stage);
    return 0;
}
