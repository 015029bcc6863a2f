#include "gateway/money.h"

#include "base/limits.h"

#include <stdio.h>
#include <string.h>

static const struct {
    unsigned exponent;
    const char *currencies;
} exponents[] = {
    {0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"},
    {3, "BHD IQD JOD KWD LYD OMR TND"},
    {4, "CLF UYW"},
};

bool money_is_currency(const char *currency)
{
    for (size_t i = 0; i < 3; i++) {
        if (currency[i] < 'A' || currency[i] > 'Z')
            return false;
    }
    return currency[3] == '\0';
}

unsigned money_exponent(const char *currency)
{
    for (size_t i = 0; i < sizeof(exponents) / sizeof(exponents[0]); i++) {
        if (strstr(exponents[i].currencies, currency))
            return exponents[i].exponent;
    }
    return 2;
}

void money_text(int64_t amount_minor, const char *currency, char *out)
{
    unsigned exponent = money_exponent(currency);
    int64_t unit = 1;
    for (unsigned i = 0; i < exponent; i++)
        unit *= 10;
    if (exponent == 0)
        snprintf(out, MONEY_TEXT_BYTES, "%lld", (long long)amount_minor);
    else
        snprintf(out, MONEY_TEXT_BYTES, "%lld.%0*lld", (long long)(amount_minor / unit), (int)exponent,
                 (long long)(amount_minor % unit));
}

enum err money_parse(const char *text, const char *currency, int64_t *amount_minor)
{
    unsigned exponent = money_exponent(currency);
    size_t whole = strspn(text, "0123456789");
    size_t decimals = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    size_t length = whole + (text[whole] == '.') + decimals;
    int64_t amount = 0;
    if (whole == 0 || text[length] != '\0' || decimals != exponent || (exponent == 0) != (length == whole))
        return ERR_SYNTAX;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.')
            continue;
        amount = amount * 10 + (text[i] - '0');
        if (amount > LIMIT_AMOUNT_MINOR)
            return ERR_RANGE;
    }
    *amount_minor = amount;
    return OK;
}
