/* SPDX-License-Identifier: MIT */
#include "mem/names.h"

#include <string.h>

/* FNV-1a, its high half mixed in: neighbours in name ("t1", "t2") are not to be neighbours here. */
static uint64_t hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h ^ h >> 32;
}

/* The slot of the name, or the free one where it belongs. */
static int64_t find_slot(const mtl__names *n, const char *name, int64_t *probes)
{
    int64_t mask = n->capacity - 1, i = (int64_t)(hash(name) & (uint64_t)mask);
    *probes = 1;
    for (; n->slot[i] && strcmp(n->name[n->slot[i] - 1], name) != 0; i = (i + 1) & mask)
        ++*probes;
    return i;
}

static int64_t bytes_for(int64_t capacity)
{
    return capacity / 2 * (int64_t)sizeof(char *) + capacity * (int64_t)sizeof(uint32_t);
}

void mtl__names_free(mtl__names *n, const mtl__allocator *al)
{
    mtl__free(al, n->name, bytes_for(n->capacity));
    *n = (mtl__names){0};
}

bool mtl__names_reserve(mtl__names *n, const mtl__allocator *al)
{
    if (n->count < n->capacity / 2)
        return true;
    mtl__names more = {.capacity = mtl__max(16, 2 * n->capacity)};
    more.name = mtl__alloc_zero(al, bytes_for(more.capacity));
    if (!more.name)
        return false;
    more.slot = (uint32_t *)(more.name + more.capacity / 2);
    for (int64_t i = 0; i < n->count; i++)
        mtl__names_add(&more, n->name[i]);
    mtl__names_free(n, al);
    *n = more;
    return true;
}

void mtl__names_add(mtl__names *n, const char *name)
{
    int64_t probes;
    assert(n->count < n->capacity / 2 && mtl__names_find(n, name) < 0);
    n->name[n->count++] = name;
    n->slot[find_slot(n, name, &probes)] = (uint32_t)n->count;
}

/* With linear probing the last one can simply go: no other was put behind it. */
void mtl__names_drop_last(mtl__names *n)
{
    int64_t probes, at;
    assert(n->count > 0);
    at = find_slot(n, n->name[n->count - 1], &probes);
    n->slot[at] = 0;
    n->count--;
}

int64_t mtl__names_find(const mtl__names *n, const char *name)
{
    int64_t probes;
    return n->count ? (int64_t)n->slot[find_slot(n, name, &probes)] - 1 : -1;
}

int64_t mtl__names_probes(const mtl__names *n, const char *name)
{
    int64_t probes = 0;
    if (n->count)
        find_slot(n, name, &probes);
    return probes;
}

/* --- lists ------------------------------------------------------------------------------------- */

/* The texts lie behind the pointers to them. */
static int64_t list_bytes(int64_t count, const char *const *names)
{
    int64_t bytes = count * (int64_t)sizeof *names;
    for (int64_t i = 0; i < count; i++)
        bytes += (int64_t)strlen(names[i]) + 1;
    return bytes;
}

const char **mtl__name_list_copy(const mtl__allocator *al, int64_t count, const char *const *names)
{
    const char **copy = mtl__alloc(al, list_bytes(count, names));
    char *text = (char *)(copy + (copy ? count : 0));
    for (int64_t i = 0; copy && i < count; i++) {
        const size_t size = strlen(names[i]) + 1;
        copy[i] = memcpy(text, names[i], size);
        text += size;
    }
    return copy;
}

void mtl__name_list_free(const mtl__allocator *al, int64_t count, const char **names)
{
    if (names)
        mtl__free(al, names, list_bytes(count, names));
}
