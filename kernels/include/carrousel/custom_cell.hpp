// Cells that are compiled at run time, each in a shared library of its own (src/one_cell_library.cpp), for one instruction set.
#pragma once

namespace carrousel {

struct Target;  // what such a library offers

// Its cells are found from now on, by carrousel::find, after those that were built in; by the latest library where two have one name.
// They stay with the instruction set that they were compiled for. The library must stay loaded.
void add(const Target& target);

// What the kernels of the instruction set in force were compiled with: one line for a shell, but for what is there to be compiled.
const char* compile_flags();

// Changes whenever the text does that such a library and this one must have in common: sequence.hpp and target.hpp.
const char* interface_digest();

}  // namespace carrousel
