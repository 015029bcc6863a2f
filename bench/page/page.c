#include "bench/page/page.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char style[] =
    ":root{color-scheme:light dark;--back:#f6f7f9;--paper:#fff;--ink:#1b2430;--soft:#566172;--line:#d9dee6;"
    "--good:#13744f;--bad:#bb1f47;--s0:#2563c9;--s1:#b45309;--s2:#13744f;--s3:#7c3aed;--s4:#bb1f47;--s5:#"
    "0e7490}"
    "@media(prefers-color-scheme:dark){:root{--back:#12161c;--paper:#1a2029;--ink:#e8ecf2;--soft:#a3b0c1;"
    "--line:#2d3643;--good:#4cc793;--bad:#ff7d99;--s0:#7fb0ff;--s1:#f0b65a;--s2:#4cc793;--s3:#b7a8ff;--s4:#"
    "ff7d99;"
    "--s5:#5fd0e6}}"
    "*{box-sizing:border-box}html{-webkit-text-size-adjust:100%}body{margin:0;background:var(--back);color:"
    "var(--ink);"
    "font:16px/1.55 system-ui,sans-serif}main{max-width:80rem;margin:0 auto;padding:1.6rem 1rem 4rem}"
    "h1,h2,h3,p,summary{overflow-wrap:anywhere}h1{font-size:1.6rem;line-height:1.25;margin:0 0 "
    ".4rem}h2{font-size:1.15rem;margin:0 0 .6rem}"
    "h3{font-size:1rem;margin:1rem 0 .4rem}"
    "p{margin:.35rem 0;max-width:62rem}.soft,figcaption{color:var(--soft)}small{font-size:.86em}"
    "section{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:1rem 1.1rem;"
    "margin-top:1rem}"
    ".verdict{font-size:1.3rem;font-weight:650}.good{color:var(--good)}.bad{color:var(--bad)}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:.7rem;margin:1rem 0 "
    "0;padding:0}"
    ".tile{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:.7rem .9rem}"
    ".tile b{display:block;font-size:1.4rem;line-height:1.3;font-weight:650;overflow-wrap:anywhere}"
    ".tile span{color:var(--soft);font-size:.88rem}"
    ".wide{overflow-x:auto}.wide+.wide{margin-top:.9rem}.wide:focus-visible{outline:2px solid "
    "var(--s0);outline-offset:2px}"
    "figure{margin:.7rem 0 "
    "0;min-width:0}figcaption{font-size:.9rem;margin-bottom:.25rem;overflow-wrap:anywhere}"
    ".strip{min-width:48rem}.strip img,.strip svg{display:block;width:100%;border-radius:6px}.strip "
    "img{height:10rem}"
    ".strip svg{height:1.6rem;margin-top:.3rem}"
    ".plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,23rem),1fr));gap:1rem}.plot{"
    "max-width:36rem}"
    ".plot svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font:12px system-ui,sans-serif}"
    ".grid{stroke:var(--line);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}"
    ".key{display:inline-flex;align-items:center;gap:.35rem;margin-right:1rem;font-size:.9rem}"
    ".key svg{width:1.9rem;height:.8rem;flex:none}"
    "table{border-collapse:collapse;width:100%;max-width:64rem;font-variant-numeric:tabular-nums}"
    "caption{text-align:left;color:var(--soft);font-size:.9rem;padding-bottom:.3rem}"
    "td,th{padding:.26rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}"
    "thead th{color:var(--soft);font-weight:500;vertical-align:bottom;white-space:normal}"
    "td:first-child,th:first-child{text-align:left}.left{text-align:left!important;white-space:normal}"
    "tbody th{font-weight:400}details{margin-top:.8rem}"
    "summary{cursor:pointer;color:var(--soft)}code{font-size:.92em;overflow-wrap:anywhere}"
    "@media print{section,.tile{break-inside:avoid}}";

void page_begin(FILE *page, const char *title)
{
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
          "<meta name=\"color-scheme\" content=\"light dark\"><title>",
          page);
    page_text(page, title);
    fprintf(page, "</title><style>%s</style></head>\n<body><main>\n<h1>", style);
    page_text(page, title);
    fputs("</h1>\n", page);
}

void page_end(FILE *page)
{
    fputs("</main></body></html>\n", page);
}

/* Bytes of the UTF-8 character that text begins with, 0 when it is none: enough to keep a page well-formed. */
static size_t character_bytes(const unsigned char *text)
{
    size_t bytes = text[0] < 0x80                       ? 1
                   : text[0] >= 0xC2 && text[0] <= 0xDF ? 2
                   : (text[0] & 0xF0) == 0xE0           ? 3
                   : text[0] >= 0xF0 && text[0] <= 0xF4 ? 4
                                                        : 0;
    for (size_t i = 1; i < bytes; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    return bytes;
}

void page_text(FILE *page, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at != '\0') {
        size_t bytes = character_bytes(at);
        if (bytes == 0 || *at < 0x20)
            fputs(*at == '\n' || *at == '\t' ? " " : "\xEF\xBF\xBD", page);
        else if (*at == '<')
            fputs("&lt;", page);
        else if (*at == '>')
            fputs("&gt;", page);
        else if (*at == '&')
            fputs("&amp;", page);
        else if (*at == '"')
            fputs("&quot;", page);
        else
            fwrite(at, 1, bytes, page);
        at += bytes == 0 ? 1 : bytes;
    }
}

void page_tiles_begin(FILE *page)
{
    fputs("<div class=\"tiles\">\n", page);
}

void page_tile(FILE *page, enum page_mood mood, const char *figure, const char *caption)
{
    static const char *const classes[] = {"", " class=\"good\"", " class=\"bad\""};
    fprintf(page, "<div class=\"tile\"><b%s>", classes[mood]);
    page_text(page, figure);
    fputs("</b><span>", page);
    page_text(page, caption);
    fputs("</span></div>\n", page);
}

void page_tiles_end(FILE *page)
{
    fputs("</div>\n", page);
}

static enum err refuse(const char *path, char *reason)
{
    snprintf(reason, PAGE_REASON_BYTES, "%.384s: %.100s", path, strerror(errno));
    return ERR_SYSTEM;
}

enum err page_open(struct page_file *file, const char *path, char *reason)
{
    file->stream = NULL;
    if (strlen(path) + sizeof ".part" > sizeof file->part) {
        snprintf(reason, PAGE_REASON_BYTES, "%.64s...: the name is too long", path);
        return ERR_LENGTH;
    }
    memcpy(file->path, path, strlen(path) + 1);
    snprintf(file->part, sizeof file->part, "%.4090s.part", path);
    file->stream = fopen(file->part, "w");
    return file->stream == NULL ? refuse(path, reason) : OK;
}

enum err page_close(struct page_file *file, bool is_good, char *reason)
{
    enum err err = OK;
    errno = 0;
    bool is_written = !ferror(file->stream);
    if ((fclose(file->stream) != 0 || !is_written) && is_good)
        err = refuse(file->path, reason);
    file->stream = NULL;
    if (err == OK && is_good && rename(file->part, file->path) != 0)
        err = refuse(file->path, reason);
    if (err != OK || !is_good)
        unlink(file->part);
    return err;
}
