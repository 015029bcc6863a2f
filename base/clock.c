#include "base/clock.h"

#include <stdio.h>

void wall_time_text(struct wall_time at, char *text)
{
    time_t seconds = (time_t)(at.ns / NS_PER_S);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char date[24];
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, WALL_TEXT_MAX, "%s.%03dZ", date, (int)(at.ns % NS_PER_S / NS_PER_MS));
}
