// SPDX-License-Identifier: BSD-3-Clause
// The one place where the GIL is released, and where Ctrl-C reaches a running kernel.
#pragma once

#include <pybind11/pybind11.h>

#include "kelman/core/parallel.hpp"

namespace kelman::bindings {

namespace py = pybind11;

/// Lets Python handle pending signals; true if one of the handlers raised (KeyboardInterrupt).
inline bool signal_pending() {
  const py::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

/// Runs `work(interrupt)` without the GIL. Every Python object must have become a plain view before. A signal handler
/// that raises while the work runs (Ctrl-C) stops it within a fraction of a second, and its exception is raised here.
template <class Work>
void without_gil(Work&& work) {
  Interrupt interrupt(&signal_pending);
  {
    const py::gil_scoped_release release;
    work(interrupt);
  }
  if (interrupt.requested()) {
    throw py::error_already_set();
  }
}

}  // namespace kelman::bindings
