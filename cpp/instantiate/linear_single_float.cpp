// SPDX-License-Identifier: BSD-3-Clause
// The filter of few series in float.
#include "kelman/linear/single/run_of_size.hpp"

namespace kelman::linear::single {

template Method run(const FilterProblem<float>&, const FilterResult<float>&, int, Interrupt&);

}  // namespace kelman::linear::single
