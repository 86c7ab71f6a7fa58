/* SPDX-License-Identifier: MIT */
#include "vec/vec.h"

#include "vec/vec_priv.h"

const mtl__vec *mtl__vec_table(mtl__cpu_level level)
{
#if MTL__ARCH_X86
    if (level >= MTL__CPU_AVX512)
        return &mtl__vec_avx512;
    if (level >= MTL__CPU_AVX2)
        return &mtl__vec_avx2;
#elif MTL__ARCH_ARM64
    if (level >= MTL__CPU_NEON)
        return &mtl__vec_neon;
#else
    (void)level;
#endif
    return &mtl__vec_c;
}
