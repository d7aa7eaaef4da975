// SPDX-License-Identifier: BSD-3-Clause
// Measures of the machine for the benchmarks.
#include "kelman/core/probe.hpp"

#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

namespace py = pybind11;

namespace kelman::bindings {

namespace {

Traffic traffic(const std::string& kind) {
  if (kind == "read") {
    return Traffic::read;
  }
  if (kind == "write") {
    return Traffic::write;
  }
  if (kind == "stream") {
    return Traffic::stream;
  }
  throw std::invalid_argument("kind: expected read, write or stream, got " + kind);
}

}  // namespace

void register_probe(py::module_& m) {
  m.def(
      "fma_rate", [](double seconds) { return fma_rate(seconds); }, py::arg("seconds"),
      py::call_guard<py::gil_scoped_release>(),
      "GFLOP/s of float64 multiply-adds in registers on one thread, with this variant's instructions.");
  m.def(
      "memory_rate",
      [](const std::string& kind, std::size_t megabytes, double seconds) {
        return memory_rate(traffic(kind), megabytes, seconds);
      },
      py::arg("kind"), py::arg("megabytes"), py::arg("seconds"), py::call_guard<py::gil_scoped_release>(),
      "GB/s of one thread on a block in use: kind is read, write or stream (writing past the caches).");
}

}  // namespace kelman::bindings
