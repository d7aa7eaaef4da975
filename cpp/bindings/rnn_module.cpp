// SPDX-License-Identifier: BSD-3-Clause
// The module of the recurrent networks for one instruction set: its name and version, and what it registers.
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace kelman::bindings {
void register_rnn(py::module_& m);
void register_rnn_math(py::module_& m);
void register_rnn_stepper(py::module_& m);
}  // namespace kelman::bindings

PYBIND11_MODULE(KELMAN_MODULE, m, py::mod_gil_not_used()) {
  m.doc() = "kelman's recurrent networks, compiled for one instruction set.";
  m.attr("__version__") = KELMAN_VERSION;
  m.attr("isa") = KELMAN_ISA;
  kelman::bindings::register_rnn(m);
  kelman::bindings::register_rnn_math(m);
  kelman::bindings::register_rnn_stepper(m);
}
