/* SPDX-License-Identifier: MIT */
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BUFFER_BYTES = 65536,
    TAIL_BYTES = 200,
    TEMP_EXTRA = 48,    /* more than "/.mtl-PID-N.tmp" takes */
    TEMP_ATTEMPTS = 100 /* files left by killed processes that had this one's number */
};

static const struct {
    int code;
    const char *text;
} reasons[] = {
    {ENOENT, "no such file or folder"},
    {EACCES, "permission denied"},
    {EPERM, "operation not permitted"},
    {EISDIR, "is a folder"},
    {ENOTDIR, "a part of the path is not a folder"},
    {ENOSPC, "no space left on the device"},
    {EDQUOT, "disk quota exceeded"},
    {EFBIG, "file too large"},
    {EROFS, "read-only file system"},
    {EIO, "input/output error"},
    {EMFILE, "too many open files in this process"},
    {ENFILE, "too many open files in the system"},
    {ENAMETOOLONG, "name too long"},
    {ELOOP, "too many symbolic links"},
    {EEXIST, "file exists"},
    {EBUSY, "device or resource busy"},
    {ENOMEM, "not enough memory"},
    {ETXTBSY, "file is being executed"},
    {ESTALE, "stale file handle"},
};

const char *mtl__path_tail(const char *path)
{
    size_t n = strlen(path);
    if (n <= TAIL_BYTES)
        return path;
    path += n - TAIL_BYTES;
    while ((*path & 0xc0) == 0x80) /* not in the middle of a UTF-8 character */
        path++;
    return path;
}

mtl_status mtl__io_fail(mtl_error *err, const char *path, const char *doing, int errno_value)
{
    const char *reason = "error";
    for (int64_t i = 0; i < MTL__COUNT_OF(reasons); i++)
        if (reasons[i].code == errno_value)
            reason = reasons[i].text;
    return MTL_FAIL(err, MTL_ERR_IO, "%s: cannot %s: %s (errno %d)", mtl__path_tail(path), doing,
                    reason, errno_value);
}

/* ---- reading ---- */

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int mtl__fd_open(const char *path)
{
    return open_retrying(path, O_RDONLY, 0);
}

void mtl__fd_close(int fd)
{
    if (fd >= 0)
        close(fd); /* after EINTR Linux has closed it all the same */
}

static int64_t fd_read(void *user, void *p, int64_t size)
{
    const int *fd = user;
    ssize_t n;
    do
        n = read(*fd, p, (size_t)size);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

mtl__source mtl__fd_source(int *fd)
{
    return (mtl__source){fd_read, fd};
}

static mtl_status regular_size(int fd, const char *path, int64_t limit, int64_t *size,
                               mtl_error *err)
{
    struct stat s;
    if (fstat(fd, &s) != 0)
        return mtl__io_fail(err, path, "read", errno);
    if (!S_ISREG(s.st_mode))
        return MTL_FAIL(err, MTL_ERR_IO, "%s: is not a regular file", mtl__path_tail(path));
    if (s.st_size > limit)
        return MTL_FAIL(err, MTL_ERR_IO, "%s: has %lld bytes, more than the limit of %lld",
                        mtl__path_tail(path), (long long)s.st_size, (long long)limit);
    *size = s.st_size;
    return MTL_OK;
}

mtl_status mtl__fd_size(int fd, const char *path, int64_t *size, mtl_error *err)
{
    return regular_size(fd, path, INT64_MAX, size, err);
}

int mtl__fd_read_at(int fd, void *p, int64_t size, int64_t offset)
{
    char *to = p;
    while (size > 0) {
        ssize_t n = pread(fd, to, (size_t)size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        to += n;
        size -= n;
        offset += n;
    }
    return 0;
}

/* Exactly `size` bytes up to the end of the file: one byte more is asked for and must not come. */
static mtl_status read_exactly(int fd, const char *path, char *p, int64_t size, mtl_error *err)
{
    int64_t have = 0, n;
    char extra;
    do {
        n = have < size ? fd_read(&fd, p + have, size - have) : fd_read(&fd, &extra, 1);
        if (n < 0)
            return mtl__io_fail(err, path, "read", (int)-n);
        have += n;
    } while (n > 0 && have <= size);
    if (have == size)
        return MTL_OK;
    return MTL_FAIL(err, MTL_ERR_IO, "%s: changed while it was read", mtl__path_tail(path));
}

mtl_status mtl__file_read(const char *path, int64_t limit, const mtl__allocator *al, void **data,
                          int64_t *size, mtl_error *err)
{
    mtl_status st;
    int64_t bytes = 0;
    void *p = NULL;
    int fd = open_retrying(path, O_RDONLY | O_NONBLOCK, 0); /* or a FIFO would hold us here */
    if (fd < 0)
        return mtl__io_fail(err, path, "open", -fd);
    MTL_TRY(st, regular_size(fd, path, limit, &bytes, err), done);
    p = mtl__alloc(al, bytes);
    if (!p) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "%s: no memory for %lld bytes", mtl__path_tail(path),
                      (long long)bytes);
        goto done;
    }
    MTL_TRY(st, read_exactly(fd, path, p, bytes, err), done);
    *data = p;
    *size = bytes;
    p = NULL;
done:
    mtl__fd_close(fd);
    mtl__free(al, p, bytes);
    return st;
}

/* ---- replacing ---- */

static mtl_status write_all(mtl__file_out *f, const char *p, int64_t size, mtl_error *err)
{
    while (size > 0) {
        ssize_t n = write(f->fd, p, (size_t)size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mtl__io_fail(err, f->path, "write", n < 0 ? errno : EIO);
        p += n;
        size -= n;
    }
    return MTL_OK;
}

static mtl_status flush(mtl__file_out *f, mtl_error *err)
{
    int64_t n = f->fill;
    f->fill = 0;
    return write_all(f, f->buffer, n, err);
}

/* Rows of a narrow slice are gathered in the buffer; what would not fit goes straight out. */
static mtl_status file_put(mtl__sink *sink, const void *p, int64_t size, mtl_error *err)
{
    mtl__file_out *f = (mtl__file_out *)sink;
    mtl_status st;
    if (size > BUFFER_BYTES - f->fill && (st = flush(f, err)) != MTL_OK)
        return st;
    if (size > BUFFER_BYTES)
        return write_all(f, p, size, err);
    if (size > 0)
        memcpy(f->buffer + f->fill, p, (size_t)size);
    f->fill += size;
    return MTL_OK;
}

/* 0 or the errno. */
static int sync_fd(int fd)
{
    while (fsync(fd) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* A device or a FIFO would be lost under a rename. */
static mtl_status check_target(const char *path, mtl_error *err)
{
    struct stat s;
    if (stat(path, &s) == 0 && !S_ISREG(s.st_mode))
        return MTL_FAIL(err, MTL_ERR_IO, "%s: is not a regular file", mtl__path_tail(path));
    return MTL_OK;
}

/* f->temp holds the folder on entry and the new file's name on success. O_EXCL follows no link. */
static mtl_status open_temp(mtl__file_out *f, char *name, mtl_error *err)
{
    size_t room = TEMP_EXTRA;
    for (int n = 0; n < TEMP_ATTEMPTS; n++) {
        snprintf(name, room, ".mtl-%ld-%d.tmp", (long)getpid(), n);
        f->fd = open_retrying(f->temp, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (f->fd != -EEXIST)
            break;
    }
    return f->fd >= 0 ? MTL_OK : mtl__io_fail(err, f->path, "make a new file beside it", -f->fd);
}

static void drop_temp_name(mtl__file_out *f)
{
    mtl__free(f->al, f->temp, f->temp_bytes);
    f->temp = NULL;
}

mtl_status mtl__file_begin(mtl__file_out *f, const char *path, const mtl__allocator *al,
                           mtl_error *err)
{
    mtl_status st;
    const char *slash = strrchr(path, '/');
    int64_t folder = slash ? slash - path + 1 : 2; /* "DIR/", or "./" */
    *f = (mtl__file_out){.sink = {file_put}, .path = path, .al = al, .fd = -1, .folder = -1};
    MTL_TRY(st, check_target(path, err), fail);
    f->temp_bytes = folder + TEMP_EXTRA;
    f->temp = mtl__alloc(al, f->temp_bytes);
    f->buffer = mtl__alloc(al, BUFFER_BYTES);
    if (!f->temp || !f->buffer) {
        st = MTL_FAIL(err, MTL_ERR_NOMEM, "%s: no memory to write", mtl__path_tail(path));
        goto fail;
    }
    memcpy(f->temp, slash ? path : "./", (size_t)folder);
    f->temp[folder] = '\0';
    f->folder = open_retrying(f->temp, O_RDONLY | O_DIRECTORY, 0);
    if (f->folder < 0) {
        st = mtl__io_fail(err, path, "open its folder", -f->folder);
        goto fail;
    }
    MTL_TRY(st, open_temp(f, f->temp + folder, err), fail);
    return MTL_OK;
fail:
    drop_temp_name(f); /* there is no file of that name that is ours */
    return st;
}

mtl_status mtl__file_commit(mtl__file_out *f, mtl_error *err)
{
    int failed;
    mtl_status st = flush(f, err);
    if (st != MTL_OK)
        return st;
    if ((failed = sync_fd(f->fd)) != 0)
        return mtl__io_fail(err, f->path, "write", failed);
    failed = close(f->fd);
    f->fd = -1;
    if (failed && errno != EINTR)
        return mtl__io_fail(err, f->path, "write", errno);
    if (rename(f->temp, f->path) != 0)
        return mtl__io_fail(err, f->path, "replace", errno);
    drop_temp_name(f);
    failed = sync_fd(f->folder);
    if (failed && failed != EINVAL) /* which means that this file system has no such operation */
        return mtl__io_fail(err, f->path, "sync the folder of", failed);
    return MTL_OK;
}

void mtl__file_end(mtl__file_out *f)
{
    mtl__fd_close(f->fd);
    mtl__fd_close(f->folder);
    f->fd = f->folder = -1;
    if (f->temp)
        unlink(f->temp);
    drop_temp_name(f);
    mtl__free(f->al, f->buffer, BUFFER_BYTES);
    f->buffer = NULL;
}
