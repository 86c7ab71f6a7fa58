/* SPDX-License-Identifier: MIT */
/* Whole files in, and files replaced as a whole. Errors are MTL_ERR_IO with the file's name and the
   reason in words of our own: strerror() speaks the host's language. Nothing is mapped: a file that
   shrinks under a mapping kills the process. */
#ifndef MTL__FILE_H
#define MTL__FILE_H

#include "base/error.h"
#include "mem/alloc.h"

/* Where bytes go, in order: a file, memory, a checksum. */
typedef struct mtl__sink mtl__sink;
struct mtl__sink {
    mtl_status (*put)(mtl__sink *sink, const void *p, int64_t size, mtl_error *err);
};

/* Where bytes come from: up to `size` > 0 of them; returns how many, 0 at the end, -errno. */
typedef struct mtl__source {
    int64_t (*read)(void *user, void *p, int64_t size);
    void *user;
} mtl__source;

/* The end of a path, short enough for a message. */
const char *mtl__path_tail(const char *path);

/* MTL_ERR_IO: "PATH: cannot DOING: reason". */
mtl_status mtl__io_fail(mtl_error *err, const char *path, const char *doing, int errno_value);

/* Open for reading; -errno on failure. A source of that descriptor as user: mtl__fd_source(&fd). */
int mtl__fd_open(const char *path);
void mtl__fd_close(int fd);
mtl__source mtl__fd_source(int *fd);

/* Bytes of a regular file. */
mtl_status mtl__fd_size(int fd, const char *path, int64_t *size, mtl_error *err);
/* Exactly `size` bytes from an offset on: 0, or an errno (EIO where the file ends before). Any number
   of threads may do so at once. */
int mtl__fd_read_at(int fd, void *p, int64_t size, int64_t offset);

/* All of a regular file of at most `limit` bytes; *data is freed by mtl__free(al, *data, *size). */
mtl_status mtl__file_read(const char *path, int64_t limit, const mtl__allocator *al, void **data,
                          int64_t *size, mtl_error *err);

/* Replace a file, or make it: the bytes go to a new file in the same folder, which is synced and
   takes the old one's name in mtl__file_commit(). Until then the old file stays as it is, and
   mtl__file_end(), to be called whatever happened, leaves no other file behind. The mode is what
   the umask gives. A symbolic link is replaced, not followed; what is not a regular file is
   refused.

       MTL_TRY(st, mtl__file_begin(&f, path, al, err), done);
       MTL_TRY(st, f.sink.put(&f.sink, p, size, err), done);   (any number of times)
       st = mtl__file_commit(&f, err);
   done:
       mtl__file_end(&f);                                                                       */
typedef struct mtl__file_out {
    mtl__sink sink;
    const char *path; /* borrowed */
    const mtl__allocator *al;
    char *temp; /* name of the new file, NULL when there is none */
    char *buffer;
    int64_t temp_bytes, fill;
    int fd, folder;
} mtl__file_out;

mtl_status mtl__file_begin(mtl__file_out *f, const char *path, const mtl__allocator *al,
                           mtl_error *err);
/* The one failure after which the new file is in place: the sync of the folder itself. */
mtl_status mtl__file_commit(mtl__file_out *f, mtl_error *err);
void mtl__file_end(mtl__file_out *f);

#endif
