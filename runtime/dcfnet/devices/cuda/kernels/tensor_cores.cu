// The two operations of tensor cores that tensor_features.cu needs, as PTX instructions. A C++ compiler has no such
// instructions: the tests replace this file, and only this one (tests/runtime/cuda/tensor_cores.h). TENSOR_DEPTH: columns
// of `left` that one instruction multiplies, 16 from compute capability 8.0 on, 8 for 7.5.

// Two numbers, each rounded to the nearest float16: `low` in the lower half of the word.
__device__ static inline unsigned packed_halves(float low, float high) {
    unsigned word;
    asm("{.reg .b16 low, high;\n"
        "cvt.rn.f16.f32 low, %1;\n"
        "cvt.rn.f16.f32 high, %2;\n"
        "mov.b32 %0, {low, high};}"
        : "=r"(word)
        : "f"(low), "f"(high));
    return word;
}

// sums (16, 8) += left (16, 16) x right (16, 8) by all lanes of a warp together: products of float16, sums in float32. Lane =
// 4 * group + member has these numbers, two float16 in each word (PTX ISA, "Matrix Fragments for mma.m16n8k16"):
//   left   words 0 to 3: rows group, group + 8, group, group + 8; columns 2 * member and the next, from word 2 on 8 more
//   right  words 0 and 1: column group; rows 2 * member and the next, in word 1 8 more
//   sums   rows group, group, group + 8, group + 8; columns 2 * member, the next, 2 * member, the next
// The two instructions of depth 8 take the words 0 and 1, then 2 and 3 ("Matrix Fragments for mma.m16n8k8").
__device__ static inline void multiply_add(float (&sums)[4], const unsigned (&left)[4], unsigned right0, unsigned right1) {
    if (TENSOR_DEPTH == 16) {
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
            : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "r"(right0), "r"(right1));
        return;
    }
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(left[0]), "r"(left[1]), "r"(right0));
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(left[2]), "r"(left[3]), "r"(right1));
}
