// SPDX-License-Identifier: BSD-3-Clause
// Measures of the machine for the benchmarks: multiply-adds and memory traffic that this variant's instructions reach.
// Instantiated in the library, where loops are compiled for speed.
#pragma once

#include <cstddef>

namespace kelman {

/// What `memory_rate` does to memory: read it, write it, or write it past the caches.
enum class Traffic { read, write, stream };

/// GFLOP/s of x = a x + b on enough independent chains to fill the pipeline, in registers; best of a few rounds.
double fma_rate(double seconds);

/// GB/s of reading or writing a block that has been touched; best of a few rounds.
double memory_rate(Traffic kind, std::size_t megabytes, double seconds);

}  // namespace kelman
