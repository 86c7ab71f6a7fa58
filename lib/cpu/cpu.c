/* SPDX-License-Identifier: MIT */
#include "cpu/cpu.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#if MTL__ARCH_X86 && defined(__has_include)
#if __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#endif
#endif

#if MTL__ARCH_X86 && defined(CPU_FEATURE_ACTIVE)
#include <cpuid.h>

/* glibc has asked the CPU and the operating system already. In a virtual machine a cpuid of our own
   takes 6 us. Read here without CPU_FEATURE_ACTIVE(), which shifts a 1 into the sign. */
mtl__cpu_level mtl__cpu_detect(void)
{
    const uint32_t avx512 = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    uint32_t c =
        __x86_get_cpuid_feature_leaf(CPUID_INDEX_1)->active_array[cpuid_register_index_ecx];
    uint32_t b =
        __x86_get_cpuid_feature_leaf(CPUID_INDEX_7)->active_array[cpuid_register_index_ebx];
    if (!(c & bit_FMA) || !(b & bit_AVX2))
        return MTL__CPU_C;
    return (b & avx512) == avx512 ? MTL__CPU_AVX512 : MTL__CPU_AVX2;
}
#elif MTL__ARCH_X86
#include <cpuid.h>

/* Register state that the operating system saves: 0x6 = SSE and AVX, 0xe6 = and AVX-512. */
static uint64_t os_state(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

mtl__cpu_level mtl__cpu_detect(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return MTL__CPU_C;
    if (!(c & bit_OSXSAVE) || !(c & bit_FMA) || !(c & bit_AVX) || (os_state() & 0x6) != 0x6)
        return MTL__CPU_C;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2))
        return MTL__CPU_C;
    const uint32_t avx512 = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    if ((b & avx512) != avx512 || (os_state() & 0xe6) != 0xe6)
        return MTL__CPU_AVX2;
    return MTL__CPU_AVX512;
}
#elif MTL__ARCH_ARM64
mtl__cpu_level mtl__cpu_detect(void)
{
    return MTL__CPU_NEON; /* part of every arm64 */
}
#else
mtl__cpu_level mtl__cpu_detect(void)
{
    return MTL__CPU_C;
}
#endif

static const char *const level_names[] = {
    [MTL__CPU_C] = "c",
    [MTL__CPU_NEON] = "neon",
    [MTL__CPU_AVX2] = "avx2",
    [MTL__CPU_AVX512] = "avx512",
};

const char *mtl__cpu_name(mtl__cpu_level level)
{
    return level_names[level];
}

int mtl__cpu_parse(const char *name)
{
    for (int i = 0; i < MTL__COUNT_OF(level_names); i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -1;
}

static mtl__cpu_level lower(mtl__cpu_level level, const char *limit)
{
    int wanted = limit ? mtl__cpu_parse(limit) : -1;
    if (wanted < 0 || wanted >= (int)level)
        return level;
    /* A level of another architecture stands for none of ours. */
    bool x86 = level >= MTL__CPU_AVX2;
    return wanted == MTL__CPU_NEON && x86 ? MTL__CPU_C : (mtl__cpu_level)wanted;
}

mtl__cpu_level mtl__cpu_choose(const char *wanted)
{
    return lower(lower(mtl__cpu_detect(), wanted), secure_getenv("MTL_CPU"));
}

int mtl__cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}
