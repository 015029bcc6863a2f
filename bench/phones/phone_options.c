#include "bench/phones/phone_options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: tonegate-phone caller --to USER@ADDRESS:PORT [options]\n"
    "       tonegate-phone agent [options]\n"
    "       tonegate-phone recorder --rtp-port PORT [options]\n"
    "\n"
    "  --bind ADDRESS       own address (127.0.0.1)       --sip-port PORT   (any)\n"
    "  --rtp-port PORT      (any; recorder: this and two above)\n"
    "  --from USER          (caller)                      --header 'X-Name: value'  in the INVITE, "
    "repeatable\n"
    "  --law pcma|pcmu      named first, or alone with --one-law\n"
    "  --ptime MS           10..60 (20)                   --no-events       offers no telephone-event\n"
    "  --speech FILE        recording to say, repeatable (Debian's prompts)   --mute  says nothing\n"
    "  --speech-dbm0 L      level the recordings are brought to (-18)\n"
    "  --record FILE        caller: what it sent; agent and recorder: what they heard\n"
    "  --ring-ms MS         agent: before it answers (200)\n"
    "Caller only:\n"
    "  --way tone|event|info or several joined by +       how keys are sent (tone)\n"
    "  --level-dbm0 L       of each tone (-9)             --twist-db D      low minus high (0)\n"
    "  --on-ms MS           (100)                         --off-ms MS       (110)\n"
    "  --speech-under-keys DB   talk on while keying, DB below the tones\n"
    "  --background-dbm0 L  white noise under everything  --loss PERCENT    of RTP packets\n"
    "  --labels FILE        keys.json: key, onset_sample, end_sample\n"
    "  --heard FILE         what it heard                 --seed N\n"
    "  --keypad             keys typed at the terminal go into the call\n"
    "\n"
    "Standard input, one order a line: key 0123456789*#   say FILE   hangup. Its end means hangup.\n"
    "Standard output: one JSON object a line, never with a key in it.\n";

static const char prompts[] = "/usr/share/asterisk/sounds/en_US_f_Allison/";
static const char *const caller_says[] = {
    "demo-congrats.wav", "tt-weasels.wav", "vm-options.wav", "demo-instruct.wav", "tt-somethingwrong.wav",
};
static const char *const agent_says[] = {
    "queue-thankyou.wav", "vm-intro.wav", "privacy-prompt.wav", "pls-hold-while-try.wav", "demo-moreinfo.wav",
};

/* Paths of the default prompts; they live as long as the program. */
static void take_prompts(struct phone_options *options)
{
    bool is_agent = options->kind == PHONE_AGENT;
    const char *const *names = is_agent ? agent_says : caller_says;
    size_t count =
        is_agent ? sizeof agent_says / sizeof agent_says[0] : sizeof caller_says / sizeof caller_says[0];
    static char paths[PHONE_SPEECH_MAX][128];
    for (size_t i = 0; i < count; i++) {
        snprintf(paths[i], sizeof paths[i], "%s%s", prompts, names[i]);
        options->speech[options->speech_count++] = paths[i];
    }
}

static bool take_number(const char *text, double least, double most, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out >= least && *out <= most;
}

static bool take_unsigned(const char *text, unsigned least, unsigned most, unsigned *out)
{
    double value;
    if (!take_number(text, least, most, &value))
        return false;
    *out = (unsigned)value;
    return true;
}

static bool take_ways(const char *text, unsigned *ways)
{
    static const struct {
        const char *name;
        unsigned way;
    } names[] = {{"tone", VOICE_TONE}, {"event", VOICE_EVENT}, {"info", VOICE_INFO}};
    *ways = 0;
    while (*text != '\0') {
        size_t length = strcspn(text, "+");
        unsigned way = 0;
        for (size_t i = 0; i < 3; i++)
            if (strlen(names[i].name) == length && strncmp(names[i].name, text, length) == 0)
                way = names[i].way;
        if (way == 0)
            return false;
        *ways |= way;
        text += length;
        text += *text == '+';
    }
    return *ways != 0;
}

/* USER@ADDRESS:PORT */
static bool take_target(struct phone_options *options, const char *text)
{
    char host[INET_ADDRSTRLEN];
    unsigned port;
    size_t user = strcspn(text, "@");
    size_t address = text[user] == '@' ? strcspn(text + user + 1, ":") : 0;
    if (user == 0 || user >= sizeof options->to_user || address == 0 || address >= sizeof host ||
        text[user + 1 + address] != ':' || !take_unsigned(text + user + address + 2, 1, 65535, &port))
        return false;
    memcpy(options->to_user, text, user);
    memcpy(host, text + user + 1, address);
    host[address] = '\0';
    options->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, host, &options->to.sin_addr) == 1;
}

static bool take_header(struct phone_options *options, const char *text)
{
    size_t used = strlen(options->headers);
    if (strchr(text, ':') == NULL || strpbrk(text, "\r\n") != NULL ||
        used + strlen(text) + 3 > sizeof options->headers)
        return false;
    snprintf(options->headers + used, sizeof options->headers - used, "%s\r\n", text);
    return true;
}

static bool take_law(struct phone_options *options, const char *text)
{
    if (strcmp(text, "pcma") != 0 && strcmp(text, "pcmu") != 0)
        return false;
    options->laws[0] = strcmp(text, "pcma") == 0 ? PHONE_PCMA : PHONE_PCMU;
    options->laws[1] = options->laws[0] == PHONE_PCMA ? PHONE_PCMU : PHONE_PCMA;
    return true;
}

enum option_letter {
    O_BIND = 1,
    O_SIP_PORT,
    O_RTP_PORT,
    O_TO,
    O_FROM,
    O_HEADER,
    O_LAW,
    O_ONE_LAW,
    O_PTIME,
    O_NO_EVENTS,
    O_SPEECH,
    O_MUTE,
    O_SPEECH_DBM0,
    O_RECORD,
    O_RING,
    O_WAY,
    O_LEVEL,
    O_TWIST,
    O_ON,
    O_OFF,
    O_UNDER,
    O_BACKGROUND,
    O_LOSS,
    O_LABELS,
    O_HEARD,
    O_SEED,
    O_KEYPAD,
};

static const struct option options_table[] = {
    {"bind", required_argument, NULL, O_BIND},
    {"sip-port", required_argument, NULL, O_SIP_PORT},
    {"rtp-port", required_argument, NULL, O_RTP_PORT},
    {"to", required_argument, NULL, O_TO},
    {"from", required_argument, NULL, O_FROM},
    {"header", required_argument, NULL, O_HEADER},
    {"law", required_argument, NULL, O_LAW},
    {"one-law", no_argument, NULL, O_ONE_LAW},
    {"ptime", required_argument, NULL, O_PTIME},
    {"no-events", no_argument, NULL, O_NO_EVENTS},
    {"speech", required_argument, NULL, O_SPEECH},
    {"mute", no_argument, NULL, O_MUTE},
    {"speech-dbm0", required_argument, NULL, O_SPEECH_DBM0},
    {"record", required_argument, NULL, O_RECORD},
    {"ring-ms", required_argument, NULL, O_RING},
    {"way", required_argument, NULL, O_WAY},
    {"level-dbm0", required_argument, NULL, O_LEVEL},
    {"twist-db", required_argument, NULL, O_TWIST},
    {"on-ms", required_argument, NULL, O_ON},
    {"off-ms", required_argument, NULL, O_OFF},
    {"speech-under-keys", required_argument, NULL, O_UNDER},
    {"background-dbm0", required_argument, NULL, O_BACKGROUND},
    {"loss", required_argument, NULL, O_LOSS},
    {"labels", required_argument, NULL, O_LABELS},
    {"heard", required_argument, NULL, O_HEARD},
    {"seed", required_argument, NULL, O_SEED},
    {"keypad", no_argument, NULL, O_KEYPAD},
    {0},
};

static bool take_voice_option(struct voice_options *voice, int option, const char *value)
{
    switch (option) {
    case O_SPEECH_DBM0:
        return take_number(value, -60, 0, &voice->speech_dbm0);
    case O_WAY:
        return take_ways(value, &voice->ways);
    case O_LEVEL:
        return take_number(value, -60, 0, &voice->level_dbm0);
    case O_TWIST:
        return take_number(value, -20, 20, &voice->twist_db);
    case O_ON:
        return take_unsigned(value, 1, 2000, &voice->on_ms);
    case O_OFF:
        return take_unsigned(value, 1, 5000, &voice->off_ms);
    case O_UNDER:
        return take_number(value, -20, 60, &voice->speech_under_db);
    case O_BACKGROUND:
        return take_number(value, -90, 0, &voice->background_dbm0);
    case O_SEED:
        return take_unsigned(value, 0, 4294967295U, &voice->seed);
    default:
        return false;
    }
}

static bool take_path(const char **out, const char *value)
{
    *out = value;
    return value[0] != '\0';
}

static bool take_call_option(struct phone_options *options, int option, const char *value)
{
    unsigned port = 0;
    switch (option) {
    case O_BIND:
        return inet_pton(AF_INET, value, &options->bind.sin_addr) == 1;
    case O_SIP_PORT:
        if (!take_unsigned(value, 0, 65535, &port))
            return false;
        options->bind.sin_port = htons((uint16_t)port);
        return true;
    case O_RTP_PORT:
        return take_unsigned(value, 0, 65530, &options->rtp_port);
    case O_TO:
        return take_target(options, value);
    case O_FROM:
        return snprintf(options->from_user, sizeof options->from_user, "%s", value) < PHONE_NAME_BYTES;
    case O_HEADER:
        return take_header(options, value);
    case O_LAW:
        return take_law(options, value);
    case O_PTIME:
        return take_unsigned(value, 10, 60, &options->ptime_ms);
    case O_RING:
        return take_unsigned(value, 0, 60000, &options->ring_ms);
    case O_LOSS:
        return take_unsigned(value, 0, 100, &options->loss_percent);
    case O_RECORD:
        return take_path(&options->record_path, value);
    case O_HEARD:
        return take_path(&options->heard_path, value);
    case O_LABELS:
        return take_path(&options->labels_path, value);
    case O_SPEECH:
        return options->speech_count < PHONE_SPEECH_MAX &&
               take_path(&options->speech[options->speech_count++], value);
    default:
        return take_voice_option(&options->voice, option, value);
    }
}

static bool take_flag(struct phone_options *options, int option)
{
    switch (option) {
    case O_ONE_LAW:
        options->law_count = 1;
        return true;
    case O_NO_EVENTS:
        options->event_type = -1;
        return true;
    case O_MUTE:
        options->is_mute = true;
        return true;
    case O_KEYPAD:
        options->is_keypad = true;
        return true;
    default:
        return false;
    }
}

static bool take_kind(struct phone_options *options, const char *name)
{
    static const char *const kinds[] = {"caller", "agent", "recorder"};
    for (int kind = 0; kind < 3; kind++)
        if (strcmp(kinds[kind], name) == 0) {
            options->kind = (enum phone_kind)kind;
            return true;
        }
    return false;
}

bool phone_options_parse(struct phone_options *options, int argc, char **argv)
{
    *options = (struct phone_options){
        .bind = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        .from_user = "caller",
        .laws = {PHONE_PCMA, PHONE_PCMU},
        .law_count = 2,
        .event_type = 101,
        .ptime_ms = 20,
        .ring_ms = 200,
        .voice = {-9, 0, -18, VOICE_DBM0_NONE, VOICE_DBM0_NONE, 100, 110, VOICE_TONE, 1},
    };
    if (argc < 2 || !take_kind(options, argv[1])) {
        fputs(usage, stderr);
        return false;
    }
    int option;
    optind = 2;
    while ((option = getopt_long(argc, argv, "", options_table, NULL)) != -1) {
        if (option == '?')
            return false;
        if (optarg == NULL ? take_flag(options, option) : take_call_option(options, option, optarg))
            continue;
        fprintf(stderr, "tonegate-phone: \"%s\" is not a value this option takes\n",
                optarg == NULL ? "" : optarg);
        return false;
    }
    if (optind != argc || (options->kind == PHONE_CALLER && options->to_user[0] == '\0')) {
        fputs(usage, stderr);
        return false;
    }
    if (options->speech_count == 0 && !options->is_mute && options->kind != PHONE_RECORDER)
        take_prompts(options);
    return true;
}
