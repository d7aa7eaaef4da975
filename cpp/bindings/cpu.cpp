// SPDX-License-Identifier: BSD-3-Clause
// `kelman._core._cpu`: what this machine can run. Compiled for the plainest processor, without Eigen, so that it can be
// imported anywhere.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <string_view>
#include <vector>

#include "bindings/cpu.hpp"

namespace py = pybind11;

namespace {

std::vector<std::string> names() {
  std::vector<std::string> result;
  result.reserve(kelman::cpu::levels.size());
  for (const auto& level : kelman::cpu::levels) result.emplace_back(level.name);
  return result;
}

bool can_run(std::string_view name) {
  for (const auto& level : kelman::cpu::levels) {
    if (name == level.name) return level.runs();
  }
  throw py::value_error("level: no instruction set of this name: " + std::string(name));
}

}  // namespace

PYBIND11_MODULE(KELMAN_MODULE, m, py::mod_gil_not_used()) {
  m.doc() = "What instruction sets this machine can run.";
  m.def("levels", &names, "Names of every known instruction set, the plainest first.");
  m.def("can_run", &can_run, py::arg("level"), "True if this machine runs the instruction set of this name.");
}
