// SPDX-License-Identifier: BSD-3-Clause
// The module of one instruction set (recurrent networks have another, rnn_module.cpp): its name and version, and one
// register_*() per subject; nothing else is done here.
#include <pybind11/pybind11.h>

#include <cstdlib>

namespace py = pybind11;

namespace kelman::bindings {
// One declaration and one call below per subject, each defined in <subject>.cpp beside this file.
void register_linear(py::module_& m);
void register_linear_gradient(py::module_& m);
void register_linear_moments(py::module_& m);
void register_linear_online(py::module_& m);
void register_probe(py::module_& m);

namespace {

/// glibc gives freed memory back to the system, and the next call pays for new pages, unless a block of that size was
/// freed before: its thresholds follow the largest block (up to 32 MB, mallopt(3)) where nobody has set them. A call of
/// a kernel takes a few megabytes of scratch; without this a call of half a millisecond may take twice as long.
void keep_freed_memory() noexcept {
#ifdef __GLIBC__
  void* volatile block = std::malloc(std::size_t(1) << 23);
  std::free(block);
#endif
}

}  // namespace
}  // namespace kelman::bindings

PYBIND11_MODULE(KELMAN_MODULE, m, py::mod_gil_not_used()) {
  m.doc() = "kelman's core, compiled for one instruction set.";
  m.attr("__version__") = KELMAN_VERSION;
  m.attr("isa") = KELMAN_ISA;
  kelman::bindings::keep_freed_memory();
  kelman::bindings::register_linear(m);
  kelman::bindings::register_linear_gradient(m);
  kelman::bindings::register_linear_moments(m);
  kelman::bindings::register_linear_online(m);
  kelman::bindings::register_probe(m);
}
