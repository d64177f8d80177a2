// A shared library for cells that are compiled at run time, for one instruction set. carrousel.cell compiles this file with the cells'
// generated headers on the include path; fused/kernels.py looks up its one symbol.
#include "target.cpp"

extern "C" __attribute__((visibility("default"))) const carrousel::Target* carrousel_target() {
  return &carrousel::CARROUSEL_TARGET::target;
}
