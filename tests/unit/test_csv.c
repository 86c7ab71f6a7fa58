/* SPDX-License-Identifier: MIT */
#include "io/csv.h"

#include <errno.h>

#include "testing.h"

static const mtl__allocator *const plain = &mtl__allocator_default;

/* ---- a source that gives a text in pieces of a chosen size ---- */

typedef struct text_source {
    const char *p;
    int64_t size, at, piece;
    int64_t fail_at; /* byte before which reading fails with EIO; 0 = never */
} text_source;

static int64_t read_text(void *user, void *p, int64_t size)
{
    text_source *t = user;
    int64_t n = mtl__min(mtl__min(size, t->piece), t->size - t->at);
    if (t->fail_at && t->at + n >= t->fail_at)
        return -EIO;
    memcpy(p, t->p + t->at, (size_t)n);
    t->at += n;
    return n;
}

static text_source text_of(const char *p, int64_t size, int64_t piece)
{
    return (text_source){p, size, 0, piece, 0};
}

static mtl_status open_text(mtl__csv **csv, text_source *t, const mtl__csv_dialect *dialect,
                            const mtl__allocator *al, mtl_error *err)
{
    return mtl__csv_open_source(csv, (mtl__source){read_text, t}, "table.csv", dialect, al, err);
}

/* All rows as one text, "1 2 | 3 nan |", or the message of the failure in `err`. */
static mtl_status read_all(const char *text, size_t size, int64_t piece,
                           const mtl__csv_dialect *dialect, const mtl__allocator *al, char *out,
                           size_t room, mtl_error *err)
{
    text_source t = text_of(text, (int64_t)size, piece);
    mtl__csv *csv;
    float row[64];
    bool more = true;
    size_t at = 0;
    out[0] = '\0';
    mtl_status st = open_text(&csv, &t, dialect, al, err);
    if (st != MTL_OK)
        return st;
    int64_t rows = 0;
    while ((st = mtl__csv_next(csv, row, &more, err)) == MTL_OK && more) {
        ck_assert_int_eq(mtl__csv_row(csv), ++rows);
        for (int64_t i = 0; i < mtl__csv_column_count(csv); i++)
            at += (size_t)snprintf(out + at, room - at, "%g ", (double)row[i]);
        at += (size_t)snprintf(out + at, room - at, "| ");
    }
    mtl__csv_close(csv);
    return st;
}

static const int64_t pieces[] = {1, 2, 3, 7, 65536};

/* ---- tests ---- */

START_TEST(reads_the_dialect)
{
    static const struct {
        const char *text, *rows;
    } table[] = {
        {"a,b\n1,2\n3,4\n", "1 2 | 3 4 | "},
        {"a,b\n1,2\n3,4", "1 2 | 3 4 | "},
        {"a,b\r\n1,2\r\n3,4\r\n", "1 2 | 3 4 | "},
        {"a,b\r1,2\r3,4\r", "1 2 | 3 4 | "},
        {"a,b\n1,2\r\n3,4\r5,6\n\r\n7,8", "1 2 | 3 4 | 5 6 | 7 8 | "},
        {"\xef\xbb\xbf"
         "a,b\n1,2\n",
         "1 2 | "},
        {"\xef\xbb\xbf\"a\",b\n1,2\n", "1 2 | "},
        {"\n\r\na,b\n\n1,2\n\n\n", "1 2 | "},
        {"a,b\n", ""},
        {"a", ""},
        {"a\n1\n\n2\n", "1 | 2 | "},
        {"a\n\"\"\n", "nan | "},
        {"a,b\n,\n1,\n,2", "nan nan | 1 nan | nan 2 | "},
        {"a,b,c,d,e\nnan,NaN,NA,na,NULL\n", "nan nan nan nan nan | "},
        {"a,b,c\n null ,\t,Null\n", "nan nan nan | "},
        {"a,b\n 1 ,\t-2.5e-3\t\n", "1 -0.0025 | "},
        {"a,b,c\n+1,.5,5.\n", "1 0.5 5 | "},
        {"a,b\ninf,-Infinity\n", "inf -inf | "},
        {"a,b\n\"1\",\"2\"\n\"3\",4\n", "1 2 | 3 4 | "},
        {"\"a,1\",\"b\"\"2\"\n1,2\n", "1 2 | "},
        {"\"a\nb\",\"c\r\nd\"\n1,2\n", "1 2 | "},
        {"a,b\n\" 1\",\"\"\n", "1 nan | "},
        {",b\n1,2\n", "1 2 | "},
    };
    for (int64_t i = 0; i < MTL__COUNT_OF(table); i++)
        for (int64_t k = 0; k < MTL__COUNT_OF(pieces); k++) {
            char out[256];
            mtl_error err = {0};
            mtl_status st = read_all(table[i].text, strlen(table[i].text), pieces[k], NULL, plain,
                                     out, sizeof out, &err);
            ck_assert_msg(st == MTL_OK, "%s: %s", table[i].text, err.message);
            ck_assert_msg(strcmp(out, table[i].rows) == 0, "%s: %s, not %s", table[i].text, out,
                          table[i].rows);
        }
}
END_TEST

START_TEST(names_the_place_of_what_is_wrong)
{
    static const struct {
        const char *text, *message;
    } table[] = {
        {"", "table.csv: line 1 (header): the file is empty"},
        {"\n\n", "line 3 (header): the file is empty"},
        {"\xef\xbb\xbf", "the file is empty"},
        {"\xff\xfe"
         "a",
         "UTF-16"},
        {"\xfe\xff"
         "a",
         "UTF-16"},
        {"a,\xe4\n", "line 1 (header): a column name that is not UTF-8"},
        {"a,b,a\n", "columns 1 and 3 have the same name, \"a\""},
        {"b,,a,\n", "columns 2 and 4 have the same name, \"\""},
        {"a,b\n1,2\n\n3,x\n", "line 4, row 2, column 2 \"b\": \"x\" is not a number"},
        {"a,b\n1,2\n3\n", "line 3, row 2: 1 cells, the header has 2"},
        {"a,b\n1,2,3\n", "line 2, row 1: more than 2 cells, the header has 2"},
        {"a,b\n1,2,\n", "more than 2 cells"},
        {"a\r\n1\r\nx\r\n", "line 3, row 2"},
        {"a\r1\rx\r", "line 3, row 2"},
        {"a\n1,5\n", "more than 1 cells"},
        {"a,b\n1 2,3\n", "\"1 2\" is not a number"},
        {"a;b\n1,5;2\n", "line 2, row 1: more than 1 cells"},
        {"a\n0x10\n", "\"0x10\" is not a number"},
        {"a\n1e\n", "\"1e\""},
        {"a\nnano\n", "\"nano\""},
        {"a\nn\n", "\"n\""},
        {"a\nnu\n", "\"nu\""},
        {"a\n1.2.3\n", "\"1.2.3\""},
        {"a\n1\t\x01\n", "\"1??\""},
        {"a\n\"1\"2\n", "line 2: text behind the closing quote"},
        {"a\n\"1\" \n", "line 2: text behind the closing quote"},
        {"a\n1\n\"2\n3\n", "line 3: a quote is opened here and never closed"},
        {"\"a\nb\",c\n1,2\n\"3\",x", "line 4, row 2, column 2 \"c\": \"x\""},
        {"a\n\"x\ny\"\n", "line 3, row 1, column 1 \"a\": \"x?y\""},
        {"a\nabcdefghijklmnopqrstuvwxyzabcdefghijklm\xc3\xa4z\n",
         "\"abcdefghijklmnopqrstuvwxyzabcdefghijklm...\""},
        {"a\n\"1\n", "line 2: a quote"},
    };
    for (int64_t i = 0; i < MTL__COUNT_OF(table); i++)
        for (int64_t k = 0; k < MTL__COUNT_OF(pieces); k++) {
            char out[256];
            mtl_error err = {0};
            mtl_status st = read_all(table[i].text, strlen(table[i].text), pieces[k], NULL, plain,
                                     out, sizeof out, &err);
            ck_assert_msg(st == MTL_ERR_FORMAT, "%s gave %s", table[i].text, out);
            ck_assert_msg(strncmp(err.message, "table.csv: ", 11) == 0 &&
                              strstr(err.message, table[i].message) != NULL,
                          "%s: %s", table[i].text, err.message);
        }
    char out[64];
    ck_assert_int_eq(read_all("a\0b\n1\n", 6, 9, NULL, plain, out, 64, NULL), MTL_ERR_FORMAT);
    ck_assert_int_eq(read_all("a\n1\0\n", 5, 9, NULL, plain, out, 64, NULL), MTL_ERR_FORMAT);
}
END_TEST

START_TEST(follows_the_dialect_given)
{
    char out[64];
    mtl__csv_dialect semicolon = {.separator = ';'}, tab = {.separator = '\t'},
                     bare = {.no_quotes = true};
    mtl_error err = {0};
    const char *text = "a;b\n1;\"2\"\n";
    assert_ok(read_all(text, strlen(text), 9, &semicolon, plain, out, sizeof out, &err));
    ck_assert_str_eq(out, "1 2 | ");
    text = "a\tb\n\t2\n";
    assert_ok(read_all(text, strlen(text), 9, &tab, plain, out, sizeof out, &err));
    ck_assert_str_eq(out, "nan 2 | ");
    text = "a,\"\n1,2\n";
    assert_ok(read_all(text, strlen(text), 9, &bare, plain, out, sizeof out, &err));
    ck_assert_str_eq(out, "1 2 | ");
    text = "a;b\n1,5;2\n";
    assert_fails(read_all(text, strlen(text), 9, &semicolon, plain, out, sizeof out, &err),
                 MTL_ERR_FORMAT, &err, "\"1,5\" is not a number");
    for (const char *bad = "\"\r\n\xa4"; *bad; bad++) {
        mtl__csv_dialect d = {.separator = *bad};
        assert_fails(read_all(text, strlen(text), 9, &d, plain, out, sizeof out, &err),
                     MTL_ERR_INVALID, &err, "separator");
    }
}
END_TEST

START_TEST(gives_names_and_selected_columns)
{
    static const char text[] = "id,\"na\"\"me\",\xc3\xa4 b,\nx1,free \"text\",5,6\nx2,,7,8\n";
    text_source t = text_of(text, sizeof text - 1, 5);
    mtl__csv *csv;
    mtl_error err = {0};
    float row[4] = {9, 9, 9, 9};
    bool more;
    assert_ok(open_text(&csv, &t, NULL, plain, &err));
    static const char *const names[] = {"id", "na\"me", "\xc3\xa4 b", ""};
    ck_assert_int_eq(mtl__csv_column_count(csv), 4);
    for (int i = 0; i < 4; i++)
        ck_assert_str_eq(mtl__csv_column_name(csv, i), names[i]);
    ck_assert_int_eq(mtl__csv_row(csv), 0);
    assert_fails(mtl__csv_select(csv, (int64_t[]){4}, 1, &err), MTL_ERR_RANGE, &err, "4 of 4");
    assert_fails(mtl__csv_select(csv, (int64_t[]){-1}, 1, &err), MTL_ERR_RANGE, &err, "-1");
    assert_fails(mtl__csv_select(csv, (int64_t[]){2, 2}, 2, &err), MTL_ERR_NAME, &err,
                 "\xc3\xa4 b");
    assert_ok(mtl__csv_select(csv, (int64_t[]){3, 2}, 2, &err));
    assert_ok(mtl__csv_next(csv, row, &more, &err));
    ck_assert(more && row[0] == 6 && row[1] == 5 && row[2] == 9);
    assert_ok(mtl__csv_select(csv, (int64_t[]){2}, 1, &err));
    assert_ok(mtl__csv_next(csv, row, &more, &err));
    ck_assert(more && row[0] == 7 && row[1] == 5);
    assert_ok(mtl__csv_next(csv, row, &more, &err));
    ck_assert(!more && row[0] == 7);
    assert_ok(mtl__csv_next(csv, row, &more, &err));
    ck_assert(!more);
    mtl__csv_close(csv);
    mtl__csv_close(NULL);
}
END_TEST

/* Numbers of random bits, printed by the C library, come back to the last bit, wherever the seams
   between the pieces fall. */
START_TEST(reads_a_large_file_bit_for_bit)
{
    enum { ROWS = 30000, COLS = 5 };
    static float want[ROWS][COLS];
    uint64_t x = 7;
    size_t room = ROWS * COLS * 20, at = 0;
    char *text = malloc(room);
    at += (size_t)sprintf(text, "a,b,c,d,e\n");
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLS; c++) {
            x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
            uint32_t bits = (uint32_t)(x >> 32);
            memcpy(&want[r][c], &bits, 4);
            if (!isfinite(want[r][c]))
                want[r][c] = 1;
            at += (size_t)snprintf(text + at, room - at, r % 3 ? "%.9g%s" : "\"%.9g\"%s",
                                   (double)want[r][c],
                                   c < COLS - 1 ? ","
                                   : r % 2      ? "\r\n"
                                                : "\n");
        }
    temp_file f = temp_file_make(text, at);
    mtl__csv *csv;
    float row[COLS];
    bool more;
    test_memory m = {0};
    mtl__allocator al = test_allocator(&m);
    assert_ok(mtl__csv_open(&csv, f.path, NULL, &al, NULL));
    for (int r = 0; r < ROWS; r++) {
        assert_ok(mtl__csv_next(csv, row, &more, NULL));
        ck_assert(more && memcmp(row, want[r], sizeof row) == 0);
    }
    assert_ok(mtl__csv_next(csv, row, &more, NULL));
    ck_assert(!more && mtl__csv_row(csv) == ROWS);
    ck_assert_int_lt(m.live_bytes, 150000); /* the text has megabytes */
    ck_assert_int_lt(m.calls, 12);
    mtl__csv_close(csv);
    ck_assert_int_eq(m.live, 0);
    unlink(f.path);
    free(text);
}
END_TEST

/* A cell of `size` bytes, quoted or not, in a column that nobody reads. */
static mtl_status read_long_cell(int64_t size, bool quoted, mtl_error *err)
{
    char *text = malloc((size_t)size + 32), *end;
    float row[2] = {0};
    bool more;
    mtl__csv *csv;
    test_memory m = {0};
    mtl__allocator al = test_allocator(&m);
    strcpy(text, "a,b\n\"");
    end = text + (quoted ? 5 : 4);
    memset(end, 'x', (size_t)size);
    strcpy(end + size, quoted ? "\",5\n" : ",5\n");
    text_source t = text_of(text, (int64_t)strlen(text), 1 << 20);
    assert_ok(open_text(&csv, &t, NULL, &al, NULL));
    assert_ok(mtl__csv_select(csv, (int64_t[]){1}, 1, NULL));
    mtl_status st = mtl__csv_next(csv, row, &more, err);
    ck_assert(st != MTL_OK || row[0] == 5);
    ck_assert_int_lt(m.live_bytes, 3 << 20); /* whatever the size */
    mtl__csv_close(csv);
    free(text);
    return st;
}

START_TEST(bounds_the_length_of_a_cell)
{
    mtl_error err = {0};
    for (int quoted = 0; quoted < 2; quoted++) {
        assert_ok(read_long_cell(1, quoted, NULL));
        assert_ok(read_long_cell(65536, quoted, NULL));
        assert_ok(read_long_cell(1 << 20, quoted, NULL));
        assert_fails(read_long_cell((1 << 20) + 1, quoted, &err), MTL_ERR_FORMAT, &err, "1048576");
        assert_fails(read_long_cell(1 << 24, quoted, &err), MTL_ERR_FORMAT, &err,
                     "line 2: a cell of more than 1048576 bytes");
    }
}
END_TEST

START_TEST(bounds_the_number_of_columns)
{
    enum { LIMIT = 1 << 20 };
    char *text = malloc(8 * (LIMIT + 1)), *at = text;
    mtl_error err = {0};
    for (int i = 0; i <= LIMIT; i++)
        at += sprintf(at, i ? ",%x" : "%x", i);
    for (int i = LIMIT + 1; i >= LIMIT; i--) {
        text_source t = text_of(text, at - text, 1 << 20);
        mtl__csv *csv;
        if (i > LIMIT) {
            assert_fails(open_text(&csv, &t, NULL, plain, &err), MTL_ERR_FORMAT, &err, "columns");
        } else {
            assert_ok(open_text(&csv, &t, NULL, plain, &err));
            ck_assert_int_eq(mtl__csv_column_count(csv), LIMIT);
            mtl__csv_close(csv);
        }
        while (*--at != ',') /* one column less */
            continue;
    }
    free(text);
}
END_TEST

START_TEST(reports_what_the_system_refuses)
{
    mtl__csv *csv;
    mtl_error err = {0};
    assert_fails(mtl__csv_open(&csv, "/nowhere/table.csv", NULL, plain, &err), MTL_ERR_IO, &err,
                 "/nowhere/table.csv: cannot open: no such file or folder");
    assert_fails(mtl__csv_open(&csv, "/tmp", NULL, plain, &err), MTL_ERR_IO, &err, "is a folder");

    static const char text[] = "a,b\n1,2\n3,4\n";
    for (int64_t n = 1; n < (int64_t)sizeof text; n++) {
        text_source t = text_of(text, sizeof text - 1, 1);
        float row[2];
        bool more = true;
        t.fail_at = n;
        mtl_status st = open_text(&csv, &t, NULL, plain, &err);
        if (st == MTL_OK) {
            while ((st = mtl__csv_next(csv, row, &more, &err)) == MTL_OK && more)
                continue;
            mtl__csv_close(csv);
        }
        assert_status(st, MTL_ERR_IO);
        assert_message(&err, "table.csv: cannot read: input/output error");
    }
}
END_TEST

/* A cell for which the buffer has to grow, in the header and in a row. */
static mtl_status read_grown(void *arg)
{
    enum { LONG = 200000 };
    static char text[2 * LONG + 10], out[64];
    memset(text, 'x', LONG);
    text[LONG] = '\n';
    memset(text + LONG + 1, ' ', LONG);
    strcpy(text + 2 * LONG + 1, "7\n");
    mtl_status st = read_all(text, strlen(text), 1 << 20, NULL, arg, out, sizeof out, NULL);
    ck_assert(st != MTL_OK || strcmp(out, "7 | ") == 0);
    return st;
}

static mtl_status read_hundred(void *arg)
{
    char text[1200] = "", out[400];
    for (int i = 0; i < 20; i++) /* a header larger than the names start with */
        sprintf(text + strlen(text), "%scolumn number %d", i ? "," : "", i);
    for (int i = 0; i < 20; i++)
        strcat(text, i ? ",1" : "\n1");
    return read_all(text, strlen(text), 64, NULL, arg, out, sizeof out, NULL);
}

START_TEST(leaves_nothing_behind_when_memory_is_short)
{
    test_memory m = {0};
    mtl__allocator al = test_allocator(&m);
    ck_assert_int_ge(sweep_allocations(&m, read_hundred, &al), 6);
    ck_assert_int_ge(sweep_allocations(&m, read_grown, &al), 8);

    /* and no open file */
    temp_file f = temp_file_make("a\n1\n", 4);
    int before = dup(0);
    close(before);
    for (int n = 1; n <= 6; n++) {
        mtl__csv *csv = NULL;
        m.calls = 0;
        m.fail_at = n;
        assert_status(mtl__csv_open(&csv, f.path, NULL, &al, NULL), MTL_ERR_NOMEM);
    }
    int after = dup(0);
    close(after);
    ck_assert_int_eq(before, after);
    unlink(f.path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("csv");
    add_case(s, "reads the dialect", reads_the_dialect);
    add_case(s, "names the place of what is wrong", names_the_place_of_what_is_wrong);
    add_case(s, "follows the dialect given", follows_the_dialect_given);
    add_case(s, "gives names and selected columns", gives_names_and_selected_columns);
    add_case(s, "reads a large file bit for bit", reads_a_large_file_bit_for_bit);
    add_case(s, "bounds the length of a cell", bounds_the_length_of_a_cell);
    add_case(s, "bounds the number of columns", bounds_the_number_of_columns);
    add_case(s, "reports what the system refuses", reports_what_the_system_refuses);
    add_case(s, "leaves nothing when memory is short", leaves_nothing_behind_when_memory_is_short);
    return run_suite(s);
}
