// SPDX-License-Identifier: BSD-3-Clause
// The filter of few series, in double precision.
#include "kelman/linear/single/run_of_size.hpp"

namespace kelman::linear::single {

Method run(const FilterProblem<double>& problem, const FilterResult<double>& result, int threads, Interrupt& stop) {
  return run_among(problem, result, threads, stop, std::make_integer_sequence<int, lanes::largest_n>{});
}

}  // namespace kelman::linear::single
