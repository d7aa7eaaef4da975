// SPDX-License-Identifier: BSD-3-Clause
// Groups of series that miss the same measurements: whole blocks, common calendars, ragged ends.
//
// One look over z gives each series a number for its length and its pattern of missing values. Where the patterns of
// the first series are nearly all different, as those of random gaps are, the look ends there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kelman/core/pack.hpp"
#include "kelman/linear/problem.hpp"

namespace kelman::linear {

/// Mixes 64 bits into a number that stands for all before.
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t number, std::uint64_t bits) noexcept {
  number = (number ^ bits) * 0x9e3779b97f4a7c15U;
  return number ^ (number >> 29);
}

/// A number for the places where a (count) is NaN.
///
/// A pack of values gives one bit to each lane of a sum, 2^j for the j-th pack, exactly; the sums are mixed when their
/// digits are full.
template <Real Scalar>
[[nodiscard, gnu::noinline]] inline std::uint64_t pattern_number(const Scalar* a, Index count,
                                                                 std::uint64_t number) noexcept {
  using V = Pack<Scalar, register_lanes<Scalar>>;
  constexpr Index L = kelman::lanes<V>;
  constexpr Index digits = std::numeric_limits<Scalar>::digits;
  Index j = 0;
  while (j + L <= count) {
    V sum(Scalar(0));
    V weight(Scalar(1));
    for (const Index end = std::min(count - L + 1, j + digits * L); j < end; j += L) {
      sum = select(is_nan(load<V>(a + j)), sum + weight, sum);
      weight = weight + weight;
    }
    for (int l = 0; l < L; ++l) {
      number = mixed(number, static_cast<std::uint64_t>(lane(sum, l)));
    }
  }
  std::uint64_t bits = 1;
  for (; j < count; ++j) {
    bits = 2 * bits + (a[j] != a[j] ? 1 : 0);
  }
  return mixed(number, bits);
}

/// The smallest group for which covariances of its own pay, beside series that go in lanes or one by one: the careful
/// form takes as long for the covariances of one series as the lanes for 8 registers of series. One by one a few would
/// do.
template <Real Scalar>
[[nodiscard]] constexpr Index smallest_group(bool in_lanes) noexcept {
  return in_lanes ? 8 * register_lanes<Scalar> : Index(16);
}

/// The series of a problem by their patterns.
struct Patterns {
  std::vector<Index> series;  ///< those of large groups, group after group
  std::vector<Index> ends;    ///< where each group ends in `series`
  std::vector<Index> rest;    ///< the others
};

/// Looks for groups of at least `smallest` series with the same lengths, gaps and ranks. None are found where at least
/// three quarters of the first 256, 1024, 4096, ... series have a pattern of their own.
template <Real Scalar>
[[nodiscard]] Patterns find_patterns(const FilterProblem<Scalar>& problem, Index smallest) {
  const Dims& dims = problem.model.dims;
  const Data<Scalar>& data = problem.data;
  Patterns found;
  if (dims.N < smallest || dims.m == 0 || !problem.model.shares_covariances() || !problem.start.shares_covariances()) {
    return found;
  }
  std::unordered_map<std::uint64_t, Index> known;
  std::vector<Index> sizes;
  std::vector<Index> pattern(static_cast<std::size_t>(dims.N));
  Index look = 256;
  for (Index i = 0; i < dims.N; ++i) {
    if (i == look) {
      if (4 * static_cast<Index>(sizes.size()) >= 3 * look) {
        return found;
      }
      look *= 4;
    }
    const Index length = data.length(i, dims.T);
    auto number = mixed(static_cast<std::uint64_t>(length),
                        problem.start.rank ? static_cast<std::uint64_t>(*problem.start.rank.at(i)) : 0);
    if (data.z.time == dims.m) {
      number = pattern_number(data.z.at(i), length * dims.m, number);
    } else {
      for (Index k = 0; k < length; ++k) {
        number = pattern_number(data.z.at(i, k), dims.m, number);
      }
    }
    const auto [place, fresh] = known.try_emplace(number, static_cast<Index>(sizes.size()));
    if (fresh) {
      sizes.push_back(0);
    }
    pattern[static_cast<std::size_t>(i)] = place->second;
    sizes[static_cast<std::size_t>(place->second)] += length > 0 ? 1 : 0;
  }
  // large groups in the order of their first series
  std::vector<Index> next(sizes.size(), Index(-1));
  Index total = 0;
  for (std::size_t g = 0; g < sizes.size(); ++g) {
    if (sizes[g] >= smallest) {
      next[g] = total;
      total += sizes[g];
      found.ends.push_back(total);
    }
  }
  found.series.resize(static_cast<std::size_t>(total));
  for (Index i = 0; total > 0 && i < dims.N; ++i) {
    Index& place = next[static_cast<std::size_t>(pattern[static_cast<std::size_t>(i)])];
    if (place < 0) {
      found.rest.push_back(i);
    } else {
      found.series[static_cast<std::size_t>(place++)] = i;
    }
  }
  return found;
}

}  // namespace kelman::linear
