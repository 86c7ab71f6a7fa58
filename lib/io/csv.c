/* SPDX-License-Identifier: MIT */
#include "io/csv.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "io/json.h"

enum {
    CHUNK = 65536,         /* asked from the source at a time */
    MAX_FIELD = 1 << 20,   /* bytes of one cell */
    MAX_COLUMNS = 1 << 20, /* in a header */
    SHOWN = 40             /* bytes of a cell or name in a message */
};

struct mtl__csv {
    const mtl__allocator *al;
    mtl__source source;
    int fd;               /* what the source reads when we opened it, else -1 */
    char *name;           /* for messages */
    int separator, quote; /* quote: -1 = none */
    bool at_eof;          /* the source has no more */
    int64_t row;          /* of data, from 1; 0 in the header */
    int64_t line;         /* of the file, from 1 */
    int64_t capacity;     /* of buffer; [begin, end) is not used yet */
    int64_t begin, end;
    char *buffer;
    mtl__bytes names; /* each with its 0 */
    int64_t columns;
    int64_t *name_at; /* [columns] offsets in names */
    int64_t *slot;    /* [columns] place in a row's values, -1 = not selected */
    mtl__csv_texts texts;
};

/* ---- messages ---- */

typedef struct shown {
    char text[SHOWN + 4];
} shown;

static shown show(const char *s, int64_t size)
{
    shown t;
    int64_t n = mtl__min(size, SHOWN);
    if (n < size)
        while (n > 0 && (s[n] & 0xc0) == 0x80)
            n--;
    for (int64_t i = 0; i < n; i++)
        t.text[i] = (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? '?' : s[i];
    memcpy(t.text + n, n < size ? "..." : "", n < size ? 4 : 1);
    return t;
}

static shown show_column(const mtl__csv *csv, int64_t column)
{
    const char *name = mtl__csv_column_name(csv, column);
    return show(name, (int64_t)strlen(name));
}

static mtl_status fail(const mtl__csv *csv, mtl_error *err, const char *what)
{
    return MTL_FAIL(err, MTL_ERR_FORMAT, "%s: line %lld%s: %s", mtl__path_tail(csv->name),
                    (long long)csv->line, csv->row ? "" : " (header)", what);
}

static mtl_status no_memory(const mtl__csv *csv, mtl_error *err)
{
    return MTL_FAIL(err, MTL_ERR_NOMEM, "%s: no memory to read", mtl__path_tail(csv->name));
}

/* ---- bytes ---- */

/* More bytes behind `end`, those from `begin` on kept (they may move to the front of the buffer).
   At the end of the source: at_eof. */
static mtl_status refill(mtl__csv *csv, mtl_error *err)
{
    if (csv->begin > 0) {
        memmove(csv->buffer, csv->buffer + csv->begin, (size_t)(csv->end - csv->begin));
        csv->end -= csv->begin;
        csv->begin = 0;
    }
    if (csv->capacity - csv->end < CHUNK) {
        if (csv->end > MAX_FIELD)
            return fail(csv, err, "a cell of more than 1048576 bytes (a quote left open?)");
        char *grown = mtl__realloc(csv->al, csv->buffer, csv->capacity, csv->capacity * 2);
        if (!grown)
            return no_memory(csv, err);
        csv->buffer = grown;
        csv->capacity *= 2;
    }
    int64_t n = csv->source.read(csv->source.user, csv->buffer + csv->end, CHUNK);
    if (n < 0)
        return mtl__io_fail(err, csv->name, "read", (int)-n);
    csv->at_eof = n == 0;
    csv->end += n;
    return MTL_OK;
}

/* The byte at `begin + offset`, or -1 behind the last one. */
static mtl_status peek(mtl__csv *csv, int64_t offset, int *c, mtl_error *err)
{
    while (csv->begin + offset >= csv->end && !csv->at_eof) {
        mtl_status st = refill(csv, err);
        if (st != MTL_OK)
            return st;
    }
    *c = csv->begin + offset < csv->end ? (unsigned char)csv->buffer[csv->begin + offset] : -1;
    return MTL_OK;
}

/* ---- cells ---- */

/* A cell lies in the buffer until the next one is read. */
typedef struct cell {
    const char *s;
    int64_t size;
    bool quoted;
    bool last; /* of its line */
} cell;

/* Finish a cell whose size and `quoted` are known: `begin + offset` is where it has to end. */
static mtl_status end_cell(mtl__csv *csv, int64_t offset, cell *out, mtl_error *err)
{
    int c, after = 0;
    mtl_status st;
    if ((st = peek(csv, offset, &c, err)) != MTL_OK)
        return st;
    if (c == '\r' && (st = peek(csv, offset + 1, &after, err)) != MTL_OK)
        return st;
    if (c != -1 && c != csv->separator && c != '\r' && c != '\n')
        return fail(csv, err, "text behind the closing quote of a cell");
    out->s = csv->buffer + csv->begin + out->quoted;
    out->last = c != csv->separator;
    csv->begin += offset + (c != -1) + (c == '\r' && after == '\n');
    return MTL_OK;
}

static mtl_status plain_cell(mtl__csv *csv, cell *out, mtl_error *err)
{
    int64_t n = 0;
    for (;;) {
        const char *s = csv->buffer + csv->begin;
        int64_t have = csv->end - csv->begin;
        while (n < have && s[n] != (char)csv->separator && s[n] != '\n' && s[n] != '\r')
            n++;
        if (n < have || csv->at_eof)
            break;
        mtl_status st = refill(csv, err);
        if (st != MTL_OK)
            return st;
    }
    *out = (cell){.size = n};
    return end_cell(csv, n, out, err);
}

/* Two quotes inside stand for one: the cell is closed up in place, [begin + 1, begin + 1 + to). */
static mtl_status quoted_cell(mtl__csv *csv, cell *out, mtl_error *err)
{
    int64_t from = 1, to = 0, first_line = csv->line;
    for (;;) {
        int c;
        mtl_status st = peek(csv, from, &c, err);
        if (st != MTL_OK)
            return st;
        if (c == csv->quote) {
            if ((st = peek(csv, from + 1, &c, err)) != MTL_OK)
                return st;
            if (c != csv->quote)
                break;
            from++;
        } else if (c == -1) {
            csv->line = first_line;
            return fail(csv, err, "a quote is opened here and never closed");
        }
        csv->line += c == '\n';
        csv->buffer[csv->begin + 1 + to++] = (char)c;
        from++;
    }
    *out = (cell){.size = to, .quoted = true};
    return end_cell(csv, from + 1, out, err);
}

static mtl_status next_cell(mtl__csv *csv, cell *out, mtl_error *err)
{
    int c;
    mtl_status st = peek(csv, 0, &c, err);
    if (st != MTL_OK)
        return st;
    st = c != -1 && c == csv->quote ? quoted_cell(csv, out, err) : plain_cell(csv, out, err);
    if (st == MTL_OK && out->size > MAX_FIELD)
        return fail(csv, err, "a cell of more than 1048576 bytes");
    return st;
}

/* Go to the next line that is not blank; *more: there is one. */
static mtl_status skip_blank_lines(mtl__csv *csv, bool *more, mtl_error *err)
{
    int c, after = 0;
    for (;;) {
        mtl_status st = peek(csv, 0, &c, err);
        if (st != MTL_OK)
            return st;
        if (c != '\n' && c != '\r')
            break;
        if (c == '\r' && (st = peek(csv, 1, &after, err)) != MTL_OK)
            return st;
        csv->begin += 1 + (c == '\r' && after == '\n');
        csv->line++;
    }
    *more = c != -1;
    return MTL_OK;
}

/* ---- header ---- */

static mtl_status skip_byte_order_mark(mtl__csv *csv, mtl_error *err)
{
    int a, b, c;
    mtl_status st;
    if ((st = peek(csv, 0, &a, err)) != MTL_OK || (st = peek(csv, 1, &b, err)) != MTL_OK ||
        (st = peek(csv, 2, &c, err)) != MTL_OK)
        return st;
    if ((a == 0xff && b == 0xfe) || (a == 0xfe && b == 0xff))
        return fail(csv, err, "the text is UTF-16; it has to be UTF-8");
    if (a == 0xef && b == 0xbb && c == 0xbf)
        csv->begin += 3;
    return MTL_OK;
}

static mtl_status read_names(mtl__csv *csv, mtl_error *err)
{
    cell name = {0};
    bool more;
    mtl_status st = skip_blank_lines(csv, &more, err);
    if (st != MTL_OK)
        return st;
    if (!more)
        return fail(csv, err, "the file is empty; the first line has to name the columns");
    while (!name.last) {
        if ((st = next_cell(csv, &name, err)) != MTL_OK)
            return st;
        if (!mtl__utf8_is_valid(name.s, name.size))
            return fail(csv, err, "a column name that is not UTF-8");
        if (csv->columns++ == MAX_COLUMNS)
            return fail(csv, err, "more than 1048576 columns");
        mtl__bytes_append(&csv->names, name.s, name.size);
        mtl__bytes_append(&csv->names, "", 1);
    }
    return csv->names.failed ? no_memory(csv, err) : MTL_OK;
}

/* Heap sort of the columns by name, in csv->slot, to find names that occur twice. */
static void sift_name(const mtl__csv *csv, int64_t root, int64_t n)
{
    int64_t *a = csv->slot;
    for (int64_t child; (child = 2 * root + 1) < n; root = child) {
        const char *name = mtl__csv_column_name(csv, a[child]);
        if (child + 1 < n && strcmp(name, mtl__csv_column_name(csv, a[child + 1])) < 0)
            name = mtl__csv_column_name(csv, a[++child]);
        if (strcmp(mtl__csv_column_name(csv, a[root]), name) >= 0)
            return;
        int64_t swap = a[root];
        a[root] = a[child];
        a[child] = swap;
    }
}

static mtl_status check_names(mtl__csv *csv, mtl_error *err)
{
    int64_t n = csv->columns, *a = csv->slot;
    for (int64_t i = 0; i < n; i++)
        a[i] = i;
    for (int64_t i = n / 2 - 1; i >= 0; i--)
        sift_name(csv, i, n);
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t swap = a[0];
        a[0] = a[i];
        a[i] = swap;
        sift_name(csv, 0, i);
    }
    for (int64_t i = 1; i < n; i++)
        if (strcmp(mtl__csv_column_name(csv, a[i - 1]), mtl__csv_column_name(csv, a[i])) == 0)
            return MTL_FAIL(err, MTL_ERR_FORMAT,
                            "%s: columns %lld and %lld have the same name, \"%s\"",
                            mtl__path_tail(csv->name), (long long)mtl__min(a[i - 1], a[i]) + 1,
                            (long long)mtl__max(a[i - 1], a[i]) + 1, show_column(csv, a[i]).text);
    return MTL_OK;
}

static mtl_status read_header(mtl__csv *csv, mtl_error *err)
{
    mtl_status st;
    MTL_TRY(st, skip_byte_order_mark(csv, err), done);
    MTL_TRY(st, read_names(csv, err), done);
    csv->name_at = mtl__alloc_array(csv->al, csv->columns, sizeof *csv->name_at);
    csv->slot = mtl__alloc_array(csv->al, csv->columns, sizeof *csv->slot);
    if (!csv->name_at || !csv->slot)
        return no_memory(csv, err);
    for (int64_t i = 0, at = 0; i < csv->columns; i++) {
        csv->name_at[i] = at;
        at += (int64_t)strlen(csv->names.p + at) + 1;
    }
    MTL_TRY(st, check_names(csv, err), done);
    for (int64_t i = 0; i < csv->columns; i++)
        csv->slot[i] = i;
    csv->line++;
done:
    return st;
}

/* ---- the reader ---- */

static mtl_status open_reader(mtl__csv **out, mtl__source source, int fd, const char *name,
                              const mtl__csv_dialect *dialect, const mtl__allocator *al,
                              mtl_error *err)
{
    mtl_status st;
    int separator = dialect && dialect->separator ? dialect->separator : ',';
    mtl__csv *csv = mtl__alloc(al, sizeof *csv);
    if (!csv) {
        mtl__fd_close(fd);
        return MTL_FAIL(err, MTL_ERR_NOMEM, "%s: no memory to read", mtl__path_tail(name));
    }
    *csv = (mtl__csv){.al = al,
                      .source = source,
                      .fd = fd,
                      .separator = separator,
                      .quote = '"',
                      .line = 1,
                      .capacity = 2 * CHUNK};
    if (fd >= 0)
        csv->source = mtl__fd_source(&csv->fd);
    if (dialect && dialect->no_quotes)
        csv->quote = -1;
    mtl__bytes_init(&csv->names, al);
    if (separator < 0 || separator == '"' || separator == '\r' || separator == '\n') {
        st = MTL_FAIL(err, MTL_ERR_INVALID, "%s: no separator of cells: byte %d",
                      mtl__path_tail(name), separator & 255);
        goto fail;
    }
    csv->name = mtl__strdup(al, name);
    csv->buffer = mtl__alloc(al, csv->capacity);
    if (!csv->name || !csv->buffer) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "%s: no memory to read", mtl__path_tail(name));
        goto fail;
    }
    MTL_TRY(st, read_header(csv, err), fail);
    *out = csv;
    return MTL_OK;
fail:
    mtl__csv_close(csv);
    return st;
}

mtl_status mtl__csv_open_source(mtl__csv **out, mtl__source source, const char *name,
                                const mtl__csv_dialect *dialect, const mtl__allocator *al,
                                mtl_error *err)
{
    return open_reader(out, source, -1, name, dialect, al, err);
}

mtl_status mtl__csv_open(mtl__csv **out, const char *path, const mtl__csv_dialect *dialect,
                         const mtl__allocator *al, mtl_error *err)
{
    int fd = mtl__fd_open(path);
    if (fd < 0)
        return mtl__io_fail(err, path, "open", -fd);
    return open_reader(out, (mtl__source){0}, fd, path, dialect, al, err);
}

void mtl__csv_close(mtl__csv *csv)
{
    if (!csv)
        return;
    mtl__fd_close(csv->fd);
    mtl__free(csv->al, csv->name_at, csv->columns * (int64_t)sizeof *csv->name_at);
    mtl__free(csv->al, csv->slot, csv->columns * (int64_t)sizeof *csv->slot);
    mtl__bytes_free(&csv->names);
    mtl__free(csv->al, csv->buffer, csv->capacity);
    mtl__strfree(csv->al, csv->name);
    mtl__free(csv->al, csv, sizeof *csv);
}

int64_t mtl__csv_column_count(const mtl__csv *csv)
{
    return csv->columns;
}

const char *mtl__csv_column_name(const mtl__csv *csv, int64_t column)
{
    assert(column >= 0 && column < csv->columns);
    return csv->names.p + csv->name_at[column];
}

int64_t mtl__csv_row(const mtl__csv *csv)
{
    return csv->row;
}

mtl_status mtl__csv_select(mtl__csv *csv, const int64_t *columns, int64_t count, mtl_error *err)
{
    for (int64_t i = 0; i < csv->columns; i++)
        csv->slot[i] = -1;
    for (int64_t i = 0; i < count; i++) {
        if (columns[i] < 0 || columns[i] >= csv->columns)
            return MTL_FAIL(err, MTL_ERR_RANGE, "%s: column %lld of %lld",
                            mtl__path_tail(csv->name), (long long)columns[i],
                            (long long)csv->columns);
        if (csv->slot[columns[i]] >= 0)
            return MTL_FAIL(err, MTL_ERR_NAME, "%s: column \"%s\" is named twice",
                            mtl__path_tail(csv->name), show_column(csv, columns[i]).text);
        csv->slot[columns[i]] = i;
    }
    return MTL_OK;
}

void mtl__csv_set_texts(mtl__csv *csv, const mtl__csv_texts *texts)
{
    csv->texts = *texts;
}

/* ---- rows ---- */

static bool is_missing(const char *s, int64_t size)
{
    static const char *const words[] = {"", "na", "nan", "null"};
    for (int64_t i = 0; i < MTL__COUNT_OF(words); i++) {
        int64_t n = 0; /* ASCII letters differ from their capitals in bit 5 */
        while (n < size && words[i][n] && (s[n] | 0x20) == words[i][n])
            n++;
        if (n == size && !words[i][n])
            return true;
    }
    return false;
}

static mtl_status bad_cell(const mtl__csv *csv, int64_t column, const cell *c, const char *what,
                           mtl_error *err)
{
    return MTL_FAIL(err, MTL_ERR_FORMAT,
                    "%s: line %lld, row %lld, column %lld \"%s\": \"%s\" is not %s",
                    mtl__path_tail(csv->name), (long long)csv->line, (long long)csv->row,
                    (long long)column + 1, show_column(csv, column).text, show(c->s, c->size).text,
                    what);
}

/* Behind every cell a byte of the buffer is free for a while: the separator, the quote, the end of
   the line, or room that was made to find the end of the file. */
static mtl_status take_text(const mtl__csv *csv, int64_t column, const cell *c, cell text,
                            float *value, mtl_error *err)
{
    char *end = csv->buffer + (text.s - csv->buffer) + text.size, behind = *end;
    if (!mtl__utf8_is_valid(text.s, text.size) || memchr(text.s, 0, (size_t)text.size))
        return bad_cell(csv, column, c, "UTF-8 text", err);
    *end = 0;
    mtl_status st = csv->texts.take(csv->texts.user, column, text.s, value, err);
    *end = behind;
    return st;
}

static mtl_status parse_cell(const mtl__csv *csv, int64_t column, const cell *c, float *value,
                             mtl_error *err)
{
    const char *s = c->s, *end = c->s + c->size;
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    while (s < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (is_missing(s, end - s)) {
        *value = __builtin_nanf("");
        return MTL_OK;
    }
    if (csv->texts.is_text && csv->texts.is_text[column])
        return take_text(csv, column, c, (cell){.s = s, .size = end - s}, value, err);
    if (mtl__parse_f32(s, end, value) == end)
        return MTL_OK;
    if (!csv->texts.found)
        return bad_cell(csv, column, c, "a number", err);
    csv->texts.found[column] = true;
    *value = __builtin_nanf("");
    return MTL_OK;
}

static mtl_status wrong_width(const mtl__csv *csv, int64_t found, mtl_error *err)
{
    return MTL_FAIL(err, MTL_ERR_FORMAT,
                    "%s: line %lld, row %lld: %s%lld cells, the header has %lld",
                    mtl__path_tail(csv->name), (long long)csv->line, (long long)csv->row,
                    found > csv->columns ? "more than " : "",
                    (long long)mtl__min(found, csv->columns), (long long)csv->columns);
}

mtl_status mtl__csv_next(mtl__csv *csv, float *values, bool *more, mtl_error *err)
{
    mtl_status st = skip_blank_lines(csv, more, err);
    if (st != MTL_OK || !*more)
        return st;
    csv->row++;
    int64_t n = 0;
    cell c = {0};
    for (; !c.last; n++) {
        if (n == csv->columns)
            return wrong_width(csv, n + 1, err);
        if ((st = next_cell(csv, &c, err)) != MTL_OK)
            return st;
        if (csv->slot[n] >= 0 &&
            (st = parse_cell(csv, n, &c, &values[csv->slot[n]], err)) != MTL_OK)
            return st;
    }
    if (n < csv->columns)
        return wrong_width(csv, n, err);
    csv->line++;
    return MTL_OK;
}
