// SPDX-License-Identifier: BSD-3-Clause
// The filter of few series in double.
#include "kelman/linear/single/run_of_size.hpp"

namespace kelman::linear::single {

template Method run(const FilterProblem<double>&, const FilterResult<double>&, int, Interrupt&);

}  // namespace kelman::linear::single
