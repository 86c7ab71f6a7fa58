/* SPDX-License-Identifier: MIT */
/* Files of models in memory, and changes to them with a right checksum. */
#ifndef MTL_SAVED_H
#define MTL_SAVED_H

#include "api_testing.h"

typedef struct bytes {
    char *p;
    int64_t size;
} bytes;

static inline bytes saved(const mtl_model *m)
{
    void *buffer = NULL;
    bytes b = {NULL, 0};
    done(mtl_model_save_buffer(m, &buffer, &b.size, err));
    ck_assert_int_gt(b.size, 8);
    b.p = malloc((size_t)b.size);
    memcpy(b.p, buffer, (size_t)b.size);
    mtl_free(buffer);
    return b;
}

static inline mtl_status load_status(const char *p, int64_t size)
{
    mtl_model *m = NULL;
    mtl_error *err = mtl_error_create();
    /* An exact copy on the heap, so that a sanitizer sees a read past its end. */
    char *copy = malloc((size_t)size + (size == 0));
    memcpy(copy, p, (size_t)size);
    mtl_status st = mtl_model_load_buffer(NULL, copy, size, &m, err);
    free(copy);
    ck_assert_int_eq(mtl_error_code(err), st);
    ck_assert((st == MTL_OK) == (m != NULL));
    ck_assert(st == MTL_OK || *mtl_error_message(err));
    mtl_error_destroy(err);
    mtl_model_destroy(m);
    return st;
}

/* CRC-32C bit by bit; the eight digits of the sum count as zeros. */
static inline void repair(bytes *b)
{
    static const char key[] = "\"mtl.checksum\":\"";
    char *digits = memmem(b->p, (size_t)b->size, key, strlen(key));
    uint32_t crc = 0xffffffffu;
    char text[9];
    ck_assert_ptr_nonnull(digits);
    digits += strlen(key);
    memcpy(digits, "00000000", 8);
    for (int64_t i = 0; i < b->size; i++) {
        crc ^= (unsigned char)b->p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    snprintf(text, sizeof text, "%08x", ~crc);
    memcpy(digits, text, 8);
}

/* The file with `from` in its header changed to `to`, header length and checksum made right. */
static inline bytes changed(const bytes *b, const char *from, const char *to)
{
    char *at = memmem(b->p, (size_t)b->size, from, strlen(from));
    ck_assert_msg(at != NULL, "no %s in the file", from);
    size_t before = (size_t)(at - b->p), after = (size_t)b->size - before - strlen(from);
    bytes c = {malloc(before + strlen(to) + after), (int64_t)(before + strlen(to) + after)};
    memcpy(c.p, b->p, before);
    memcpy(c.p + before, to, strlen(to));
    memcpy(c.p + before + strlen(to), at + strlen(from), after);
    uint64_t length;
    memcpy(&length, c.p, 8);
    length += strlen(to) - strlen(from);
    memcpy(c.p, &length, 8);
    repair(&c);
    return c;
}

#endif
