#include "dsp/suspicion_glance_priv.h"
#include "dsp/suspicion_look_priv.h"

struct suspicion_look_tables suspicion_look_tables;

static double omega_of(int tone, int tuning)
{
    return 2 * M_PI * tone_bank_hz[tone] * (1 + (tuning - NOMINAL) * TUNING_STEP) / DTMF_SAMPLE_RATE;
}

static struct cross_gram gram_of(double a, double b, int length)
{
    double even = 0;
    double odd = 0;
    for (int i = 0; i < length; i++) {
        double t = i - (length - 1) / 2.0;
        even += cos(a * t) * cos(b * t);
        odd += sin(a * t) * sin(b * t);
    }
    return (struct cross_gram){(float)even, (float)odd};
}

static void inverse_make(struct pair_inverse *inverse, int pair, int blocks)
{
    double low = omega_of(pair / COLUMNS, NOMINAL);
    double high = omega_of(ROWS + pair % COLUMNS, NOMINAL);
    struct cross_gram ll = gram_of(low, low, blocks * TONE_BANK_BLOCK);
    struct cross_gram lh = gram_of(low, high, blocks * TONE_BANK_BLOCK);
    struct cross_gram hh = gram_of(high, high, blocks * TONE_BANK_BLOCK);
    float even = ll.even * hh.even - lh.even * lh.even;
    float odd = ll.odd * hh.odd - lh.odd * lh.odd;
    *inverse = (struct pair_inverse){hh.even / even, -lh.even / even, ll.even / even,
                                     hh.odd / odd,   -lh.odd / odd,   ll.odd / odd};
}

void suspicion_look_tables_make(void)
{
    for (int blocks = 1; blocks <= FIT_MAX; blocks++) {
        for (int pair = 0; pair < ROWS * COLUMNS; pair++)
            inverse_make(&suspicion_look_tables.inverse[blocks][pair], pair, blocks);
    }
    for (int tone = 0; tone < TONE_BANK_TONES; tone++) {
        double sine = sin(omega_of(tone, NOMINAL) / 2);
        suspicion_look_tables.slope[tone] = (float)(4 * sine * sine);
        for (int tuning = 0; tuning < TUNINGS; tuning++) {
            double omega = omega_of(tone, tuning);
            for (int half = 0; half < HALF_BLOCKS; half++) {
                double angle = omega * half * TONE_BANK_BLOCK / 2;
                suspicion_look_tables.turn[tone][tuning][half] =
                    (struct tone_sum){(float)cos(angle), (float)sin(angle)};
            }
            for (int other = 0; other < TONE_BANK_TONES; other++)
                suspicion_look_tables.cross[tone][tuning][other] =
                    gram_of(omega, omega_of(other, NOMINAL), SUSPICION_WINDOW * TONE_BANK_BLOCK);
        }
    }
}

bool suspicion_glance_c(const struct suspicion_stretch *stretch, size_t k, const struct suspicion_gate *gate,
                        struct suspicion_view *view)
{
    return suspicion_glance_face(stretch, k, gate, view);
}

float suspicion_weigh_glance_c(const struct suspicion_glance_network *network,
                               const struct suspicion_view *view)
{
    return suspicion_weigh_glance_face(network, view);
}

void suspicion_look_c(const struct suspicion_stretch *stretch, size_t k, const struct suspicion_gate *gate,
                      struct suspicion_view *view)
{
    suspicion_look_face(stretch, k, gate, view);
}

float suspicion_weigh_c(const struct suspicion_network *network, const struct suspicion_view *view)
{
    return suspicion_weigh_face(network, view);
}

static void glance_table_make(struct suspicion_glance_table *table, int pair)
{
    static const int blocks[8] = {4, 4, 4, 2, 2, 1, 1, 1};
    for (int lane = 0; lane < 8; lane++) {
        const struct pair_inverse *of = &suspicion_look_tables.inverse[blocks[lane]][pair];
        const float inverse[6] = {of->even_low, of->even_cross, of->even_high,
                                  of->odd_low,  of->odd_cross,  of->odd_high};
        for (int i = 0; i < 6; i++)
            table->inverse[i][lane] = inverse[i];
        /* Window, halves; low tone, then high: along, then aside. */
        int tone = lane & 2 ? ROWS + pair % COLUMNS : pair / COLUMNS;
        double angle = omega_of(tone, NOMINAL) * TONE_BANK_BLOCK * (lane & 1 ? 2 : 4);
        table->turn[lane] = (float)(lane < 4 ? cos(angle) : -sin(angle));
        table->turn[8 + lane] = (float)(lane < 4 ? sin(angle) : cos(angle));
    }
}

void suspicion_glance_tables_make(struct suspicion_gate *gate)
{
    for (int pair = 0; pair < ROWS * COLUMNS; pair++) {
        glance_table_make(&gate->glance[pair], pair);
        for (int i = 0; i < 6; i++)
            gate->pairs[pair / 8][i][pair % 8] = gate->glance[pair].inverse[i][0];
    }
}
