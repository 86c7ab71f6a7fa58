/* SPDX-License-Identifier: MIT */
/* Files under faults: the functions of the C library that io/file.c calls are replaced here by ones
   that fail, come back short or kill the process at a chosen call. */
#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "testing.h"

/* ---- faults ---- */

typedef enum fault_kind { FAULT_NONE, FAULT_ERROR, FAULT_KILL, FAULT_STUTTER } fault_kind;

static struct {
    fault_kind kind;
    int at, calls; /* the fault hits call number `at`, counted from 1 */
    bool forever;  /* and all later ones */
    int error;
    int hits;
    char log[64]; /* s: a file synced, S: a folder, r: renamed, w: written */
} fault;

static void note(char what)
{
    size_t n = strlen(fault.log);
    if (n < sizeof fault.log - 1 && (n == 0 || fault.log[n - 1] != what))
        fault.log[n] = what;
}

/* Does this call fail? Sets errno. */
static bool struck(void)
{
    if (fault.kind == FAULT_NONE)
        return false;
    int n = ++fault.calls;
    if (fault.kind == FAULT_STUTTER) { /* every other call is interrupted */
        errno = EINTR;
        return n % 2;
    }
    if (n < fault.at || (n > fault.at && !fault.forever))
        return false;
    if (fault.kind == FAULT_KILL)
        kill(getpid(), SIGKILL);
    fault.hits++;
    errno = fault.error;
    return true;
}

static size_t shortened(size_t n)
{
    return fault.kind == FAULT_STUTTER && n > 7 ? 7 : n;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = flags & O_CREAT ? va_arg(args, int) : 0;
    va_end(args);
    return struck() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

ssize_t read(int fd, void *p, size_t n)
{
    return struck() ? -1 : syscall(SYS_read, fd, p, shortened(n));
}

ssize_t write(int fd, const void *p, size_t n)
{
    note('w');
    return struck() ? -1 : syscall(SYS_write, fd, p, shortened(n));
}

int fsync(int fd)
{
    struct stat st;
    note(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) ? 'S' : 's');
    return struck() ? -1 : (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    note('r');
    /* rename() is never interrupted */
    bool bad = fault.kind != FAULT_STUTTER && struck();
    return bad ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int close(int fd)
{
    bool bad = struck();
    int saved = errno, r = (int)syscall(SYS_close, fd);
    errno = bad ? saved : errno;
    return bad ? -1 : r;
}

/* ---- a folder with one file ---- */

static char folder[128], path[160];
static const char old_text[] = "what was there before";
static char new_text[150000];

static void put_file(const char *name, const void *p, size_t size)
{
    FILE *f = fopen(name, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(p, 1, size, f), size);
    fclose(f);
}

static bool holds(const char *name, const void *p, size_t size)
{
    static char text[sizeof new_text + 1];
    FILE *f = fopen(name, "rb");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    return n == size && memcmp(text, p, size) == 0;
}

static int count_files(void)
{
    DIR *d = opendir(folder);
    int n = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(d);
    return n;
}

static int count_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) != -1;
    return n;
}

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/mtl_test_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/model.mtl", folder);
    put_file(path, old_text, sizeof old_text);
    for (size_t i = 0; i < sizeof new_text; i++)
        new_text[i] = (char)(i * i >> 3);
    memset(&fault, 0, sizeof fault);
}

static void teardown(void)
{
    char command[200];
    memset(&fault, 0, sizeof fault);
    chmod(folder, 0755);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* new_text in pieces of many sizes: through the buffer, around it, and nothing at all */
static mtl_status put_pieces(mtl__file_out *f, mtl_error *err)
{
    size_t at = 0, size = 0;
    for (int i = 0; at < sizeof new_text; i++, at += size) {
        size = i % 3 == 2 ? 70000 : (size_t)(i * 331);
        if (size > sizeof new_text - at)
            size = sizeof new_text - at;
        mtl_status st = f->sink.put(&f->sink, new_text + at, (int64_t)size, err);
        if (st != MTL_OK)
            return st;
    }
    return MTL_OK;
}

static mtl_status replace(const char *name, const mtl__allocator *al, mtl_error *err)
{
    mtl__file_out f;
    mtl_status st;
    MTL_TRY(st, mtl__file_begin(&f, name, al, err), done);
    MTL_TRY(st, put_pieces(&f, err), done);
    st = mtl__file_commit(&f, err);
done:
    mtl__file_end(&f);
    return st;
}

static mtl_status read_back(const char *name, const mtl__allocator *al, const void *want,
                            size_t size, mtl_error *err)
{
    void *data;
    int64_t n;
    mtl_status st = mtl__file_read(name, 1 << 20, al, &data, &n, err);
    if (st == MTL_OK) {
        ck_assert(n == (int64_t)size && memcmp(data, want, size) == 0);
        mtl__free(al, data, n);
    }
    return st;
}

/* ---- tests ---- */

START_TEST(replaces_and_reads_whole_files)
{
    test_memory m = {0};
    mtl__allocator al = test_allocator(&m);
    assert_ok(replace(path, &al, NULL));
    ck_assert(holds(path, new_text, sizeof new_text));
    assert_ok(read_back(path, &al, new_text, sizeof new_text, NULL));
    ck_assert_int_eq(count_files(), 1);

    char fresh[200];
    snprintf(fresh, sizeof fresh, "%s/fresh", folder);
    mode_t mask = umask(027);
    assert_ok(replace(fresh, &al, NULL));
    umask(mask);
    struct stat s;
    ck_assert_int_eq(stat(fresh, &s), 0);
    ck_assert_int_eq(s.st_mode & 0777, 0640);
    put_file(fresh, "", 0);
    assert_ok(read_back(fresh, &al, "", 0, NULL));
    ck_assert_int_eq(m.live, 0);
}
END_TEST

START_TEST(syncs_before_and_after_the_rename)
{
    memset(&fault, 0, sizeof fault);
    assert_ok(replace(path, &mtl__allocator_default, NULL));
    ck_assert_str_eq(fault.log, "wsrS");
}
END_TEST

START_TEST(works_with_a_bare_name)
{
    char here[400];
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    ck_assert_int_eq(chdir(folder), 0);
    mtl_status st = replace("model.mtl", &mtl__allocator_default, NULL);
    ck_assert_int_eq(chdir(here), 0);
    assert_ok(st);
    ck_assert(holds(path, new_text, sizeof new_text));
}
END_TEST

START_TEST(survives_interruptions_and_short_transfers)
{
    fault.kind = FAULT_STUTTER;
    assert_ok(replace(path, &mtl__allocator_default, NULL));
    fault.kind = FAULT_STUTTER;
    assert_ok(read_back(path, &mtl__allocator_default, new_text, sizeof new_text, NULL));
    fault.kind = FAULT_NONE;
    ck_assert_int_gt(fault.calls, 10000);
    ck_assert(holds(path, new_text, sizeof new_text));
}
END_TEST

/* Each call fails, with each error, once or for good: the old file stays and nothing else does. The
   last call that can fail is the sync of the folder, when the new file is in place. */
START_TEST(keeps_the_old_file_when_any_call_fails)
{
    static const int errors[] = {EIO, ENOSPC, EDQUOT, EACCES, EMFILE};
    for (int64_t e = 0; e < 2 * MTL__COUNT_OF(errors); e++) {
        int n = 0, replaced = 0, descriptors = count_descriptors();
        for (bool hit = true; hit; n++) {
            mtl_error err = {0};
            char number[24];
            memset(&fault, 0, sizeof fault);
            fault.kind = FAULT_ERROR;
            fault.at = n + 1;
            fault.forever = e % 2;
            fault.error = errors[e / 2];
            mtl_status st = replace(path, &mtl__allocator_default, &err);
            fault.kind = FAULT_NONE;
            hit = fault.hits > 0;
            bool is_old = holds(path, old_text, sizeof old_text);
            bool is_new = holds(path, new_text, sizeof new_text);
            ck_assert_int_eq(count_files(), 1);
            ck_assert_int_eq(count_descriptors(), descriptors);
            if (st != MTL_OK) {
                ck_assert_int_eq(st, MTL_ERR_IO);
                assert_message(&err, "model.mtl");
                snprintf(number, sizeof number, "errno %d", errors[e / 2]);
                assert_message(&err, number);
                ck_assert(is_old || (is_new && strstr(err.message, "sync the folder")));
            } else {
                ck_assert(is_new);
            }
            replaced += is_new;
            put_file(path, old_text, sizeof old_text);
        }
        /* folder, file, some writes, sync, close, rename; then sync and close of the folder */
        ck_assert_int_ge(n, 10);
        ck_assert_int_le(replaced, 3);
    }
}
END_TEST

START_TEST(reports_failing_reads)
{
    put_file(path, new_text, sizeof new_text);
    for (int n = 1; n < 10; n++) {
        mtl_error err = {0};
        memset(&fault, 0, sizeof fault);
        fault.kind = FAULT_ERROR;
        fault.at = n;
        fault.error = EIO;
        mtl_status st = read_back(path, &mtl__allocator_default, new_text, sizeof new_text, &err);
        fault.kind = FAULT_NONE;
        if (!fault.hits) {
            ck_assert_int_gt(n, 3); /* open, the bytes, the end */
            assert_ok(st);
            return;
        }
        if (n == fault.calls)
            continue; /* the close: nothing is lost by it */
        assert_status(st, MTL_ERR_IO);
        assert_message(&err, "input/output error");
    }
    ck_abort_msg("the faults never ended");
}
END_TEST

/* Killed before each call: the file has all of the old bytes or all of the new ones. */
START_TEST(is_old_or_new_after_a_kill)
{
    int is_new = 0, is_old = 0;
    for (int n = 1;; n++) {
        pid_t child = fork();
        if (child == 0) {
            memset(&fault, 0, sizeof fault);
            fault.kind = FAULT_KILL;
            fault.at = n;
            replace(path, &mtl__allocator_default, NULL);
            fault.kind = FAULT_NONE;
            _exit(0);
        }
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        if (holds(path, new_text, sizeof new_text))
            is_new++;
        else if (holds(path, old_text, sizeof old_text))
            is_old++;
        else
            ck_abort_msg("torn file after call %d", n);
        if (WIFEXITED(status))
            break;
        put_file(path, old_text, sizeof old_text);
    }
    ck_assert_int_ge(is_old, 7);
    ck_assert_int_ge(is_new, 2);
    /* The files that the killed ones left do not stand in the way. */
    ck_assert_int_gt(count_files(), 1);
    assert_ok(replace(path, &mtl__allocator_default, NULL));
}
END_TEST

START_TEST(takes_another_name_when_one_is_taken)
{
    char taken[200];
    for (int n = 0; n < 3; n++) {
        snprintf(taken, sizeof taken, "%s/.mtl-%ld-%d.tmp", folder, (long)getpid(), n);
        put_file(taken, old_text, sizeof old_text);
    }
    assert_ok(replace(path, &mtl__allocator_default, NULL));
    ck_assert_int_eq(count_files(), 4);
    ck_assert(holds(taken, old_text, sizeof old_text));
}
END_TEST

START_TEST(stops_at_a_file_size_limit)
{
    struct rlimit old, limit;
    mtl_error err = {0};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = 100000;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    mtl_status st = replace(path, &mtl__allocator_default, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_status(st, MTL_ERR_IO);
    assert_message(&err, "file too large");
    ck_assert(holds(path, old_text, sizeof old_text));
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(refuses_what_is_no_place_for_a_file)
{
    mtl_error err = {0};
    const mtl__allocator *al = &mtl__allocator_default;
    char name[300];
    snprintf(name, sizeof name, "%s/none/model.mtl", folder);
    assert_fails(replace(name, al, &err), MTL_ERR_IO, &err, "no such file or folder");
    assert_fails(read_back(name, al, "", 0, &err), MTL_ERR_IO, &err, "no such file or folder");
    snprintf(name, sizeof name, "%s/model.mtl/model.mtl", folder);
    assert_fails(replace(name, al, &err), MTL_ERR_IO, &err, "not a folder");
    assert_fails(replace(folder, al, &err), MTL_ERR_IO, &err, "not a regular file");
    assert_fails(read_back(folder, al, "", 0, &err), MTL_ERR_IO, &err, "not a regular file");
    assert_fails(replace("", al, &err), MTL_ERR_IO, &err, "");

    /* A FIFO must neither hold us nor be lost, a device must stay one (through a link, so that a
       mistake here does not cost the machine its /dev/full). */
    snprintf(name, sizeof name, "%s/fifo", folder);
    ck_assert_int_eq(mkfifo(name, 0600), 0);
    assert_fails(replace(name, al, &err), MTL_ERR_IO, &err, "not a regular file");
    assert_fails(read_back(name, al, "", 0, &err), MTL_ERR_IO, &err, "not a regular file");
    snprintf(name, sizeof name, "%s/full", folder);
    ck_assert_int_eq(symlink("/dev/full", name), 0);
    assert_fails(replace(name, al, &err), MTL_ERR_IO, &err, "not a regular file");
    assert_fails(read_back(name, al, "", 0, &err), MTL_ERR_IO, &err, "not a regular file");
    ck_assert_int_eq(count_files(), 3);
    assert_fails(mtl__file_read(path, 5, al, NULL, NULL, &err), MTL_ERR_IO, &err, "limit of 5");
}
END_TEST

/* A file of /proc has no size and yet bytes to read, as one that grows while it is read. */
START_TEST(refuses_a_file_that_changes)
{
    mtl_error err = {0};
    if (access("/proc/self/status", R_OK) == 0)
        assert_fails(read_back("/proc/self/status", &mtl__allocator_default, "", 0, &err),
                     MTL_ERR_IO, &err, "changed while it was read");
}
END_TEST

START_TEST(refuses_a_folder_without_permission)
{
    mtl_error err = {0};
    ck_assert_int_eq(chmod(folder, 0555), 0);
    bool root = geteuid() == 0;
    if (root)
        ck_assert_int_eq(seteuid(65534), 0);
    mtl_status st = replace(path, &mtl__allocator_default, &err);
    if (root)
        ck_assert_int_eq(seteuid(0), 0);
    assert_status(st, MTL_ERR_IO);
    assert_message(&err, "permission denied");
    ck_assert(holds(path, old_text, sizeof old_text));
}
END_TEST

static mtl_status replace_and_read(void *arg)
{
    mtl_error err = {0};
    mtl_status st = replace(path, arg, &err);
    ck_assert_int_eq(count_files(), 1);
    if (st == MTL_OK)
        st = read_back(path, arg, new_text, sizeof new_text, &err);
    if (st != MTL_OK)
        assert_message(&err, "model.mtl");
    return st;
}

START_TEST(leaves_nothing_behind_when_memory_is_short)
{
    test_memory m = {0};
    mtl__allocator al = test_allocator(&m);
    ck_assert_int_ge(sweep_allocations(&m, replace_and_read, &al), 3);
}
END_TEST

START_TEST(does_nothing_before_the_commit)
{
    mtl__file_out f;
    assert_ok(mtl__file_begin(&f, path, &mtl__allocator_default, NULL));
    assert_ok(put_pieces(&f, NULL));
    mtl__file_end(&f);
    ck_assert(holds(path, old_text, sizeof old_text));
    ck_assert_int_eq(count_files(), 1);
}
END_TEST

START_TEST(shortens_long_paths_between_characters)
{
    char text[2002];
    for (int i = 0; i < 1000; i++)
        memcpy(text + 2 * i, "\xc3\xa4", 2);
    text[2000] = 'x';
    text[2001] = '\0';
    const char *tail = mtl__path_tail(text);
    ck_assert_uint_lt(strlen(tail), 256);
    ck_assert_int_eq((unsigned char)tail[0], 0xc3);
    ck_assert_str_eq(mtl__path_tail("a/b"), "a/b");
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test)
{
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test);
    suite_add_tcase(s, tc);
}

int main(void)
{
    Suite *s = suite_create("file");
    add(s, "replaces and reads whole files", replaces_and_reads_whole_files);
    add(s, "syncs before and after the rename", syncs_before_and_after_the_rename);
    add(s, "works with a bare name", works_with_a_bare_name);
    add(s, "survives interruptions", survives_interruptions_and_short_transfers);
    add(s, "keeps the old file when any call fails", keeps_the_old_file_when_any_call_fails);
    add(s, "reports failing reads", reports_failing_reads);
    add(s, "is old or new after a kill", is_old_or_new_after_a_kill);
    add(s, "takes another name", takes_another_name_when_one_is_taken);
    add(s, "stops at a file size limit", stops_at_a_file_size_limit);
    add(s, "refuses what is no place for a file", refuses_what_is_no_place_for_a_file);
    add(s, "refuses a file that changes", refuses_a_file_that_changes);
    add(s, "refuses a folder without permission", refuses_a_folder_without_permission);
    add(s, "leaves nothing when memory is short", leaves_nothing_behind_when_memory_is_short);
    add(s, "does nothing before the commit", does_nothing_before_the_commit);
    add(s, "shortens long paths", shortens_long_paths_between_characters);
    return run_suite(s);
}
