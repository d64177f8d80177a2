// Cells that are compiled at run time, each in a shared library of its own (src/one_cell_library.cpp), for one instruction set.
#pragma once

namespace carrousel {

struct Target;  // what such a library offers

// Registers a library's cells: from now on carrousel::find finds them, after the built-in cells; the latest library wins where two define
// the same name. They stay with the instruction set that they were compiled for. The library must stay loaded.
void add(const Target& target);

// The flags that the kernels of the instruction set in force were compiled with: one line for a shell, without the files to compile.
const char* compile_flags();

// Changes whenever the headers change that such a library and this one share: sequence.hpp and target.hpp.
const char* interface_digest();

}  // namespace carrousel
