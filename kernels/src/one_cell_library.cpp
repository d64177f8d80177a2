// A library of its own for cells that are compiled at run time, for one instruction set: the file that carrousel.own gives to the
// machine's compiler, with the cells' generated headers on the path. Its one symbol is what fused/kernels.py looks for.
#include "target.cpp"

extern "C" __attribute__((visibility("default"))) const carrousel::Target* carrousel_target() {
  return &carrousel::CARROUSEL_TARGET::target;
}
